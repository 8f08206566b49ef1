#pragma once
// One reader a format: the raw files of PrepareOptions::input -> RawData. Errors: kNoInput for a file that is not there, kBadData
// with file:line and remedy for one with something wrong in it.

#include "data/raw_data.h"

namespace thinkrec {

/// A user's own logs: interactions.csv(.gz) and items.csv(.gz).
RawData read_ratings(const PrepareOptions& options);

/// Ready-made splits: train|valid|test.csv(.gz) and items.csv(.gz). The column `row` is the global (user, time) order;
/// history_all and history_all_label, where they are, must equal the user's earlier rows over all splits.
RawData read_csv_splits(const PrepareOptions& options);

/// RecBole's atomic files: NAME.inter and NAME.item, tab-separated, headers with types ("movie_title:token_seq").
RawData read_recbole(const PrepareOptions& options);

/// GroupLens' releases, told apart by their file names. Latin-1 becomes UTF-8; genres become keywords.
RawData read_movielens(const PrepareOptions& options);

/// Amazon's reviews of 2018: NAME.json and meta_NAME.json, one object a line. Keywords are the brand and the categories.
RawData read_amazon(const PrepareOptions& options);

/// Yelp's open data set: its reviews and businesses. Keywords are the city and the categories.
RawData read_yelp(const PrepareOptions& options);

/// No files: data like the paper's, from a seed (synthetic.h).
RawData make_synthetic(const PrepareOptions& options);

}  // namespace thinkrec
