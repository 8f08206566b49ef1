#pragma once
// The settings of an encoder, and whether they make sense: without libtorch, so that a recipe can be checked before anything is opened.

#include <cstdint>
#include <string>
#include <vector>

namespace thinkrec {

struct EncoderConfig {
  std::string kind = "sasrec";   ///< mf, lightgcn or sasrec
  std::int64_t width = 64;       ///< of user and item vectors
  std::int64_t blocks = 2;       ///< sasrec: transformer blocks
  std::int64_t heads = 1;        ///< sasrec: attention heads; divides width
  std::int64_t max_length = 50;  ///< sasrec: history items that are read at most
  /// sasrec: true, one pass over a window predicts up to max_length interactions, each from its last max_length / 2 to max_length
  /// items; false, every interaction beyond the first max_length has a pass of its own and exactly max_length items.
  bool all_positions = true;
  bool warm_start = true;  ///< sasrec: items begin as those of a matrix factorisation, which generalises better on small data
  /// sasrec: the vectors also hold those of the factorisation that it starts from (a lightgcn then), the two halves weighted on the valid
  /// rows: the factorisation ranks a user's items better, the network follows what the user likes now.
  bool fold_in = false;
  std::int64_t layers = 2;  ///< lightgcn: propagation layers
  bool biases =
      true;  ///< mf, lightgcn: vectors that all users and all items share, which the decay leaves alone: biases of the two sides
  /// mf, lightgcn: bce fits each label. bpr (Rendle et al. 2009) and softmax compare an interaction with 1 or up to 4 of the same user with
  /// the other label; those say who is preferred, not how likely a like is.
  std::string loss = "bce";
  /// mf, lightgcn: interactions after which half of a user's recent mood is forgotten: the mean of label less expected like, over the
  /// history, is one more coordinate of the user, with a strength fitted on the valid rows. 0: none.
  double recency = 0;
  double ridge = 10;     ///< mf, lightgcn: precision of the prior when a user is folded in from a history (see FoldIn)
  double dropout = 0.4;  ///< sasrec: of embeddings and of each sub-layer's output
  double learning_rate = 1e-3;
  double weight_decay = 0.1;  ///< decoupled (AdamW), on tables and matrices
  double averaging = 0.99;    ///< what is judged and kept is the running mean of the parameters with this decay per step; 0: none
  std::int64_t batch = 1024;  ///< interactions per step over all ranks (sasrec: on average)
  std::int64_t max_epochs = 200;
  std::int64_t patience = 5;  ///< epochs without a better valid score before training stops
  std::uint64_t seed = 0;
};

/// What makes no sense, an option a line; empty: good.
std::vector<std::string> encoder_config_errors(const EncoderConfig& config);
/// Error kConfig with those lines, when there are any.
void check_encoder_config(const EncoderConfig& config);

}  // namespace thinkrec
