#!/usr/bin/env python3
"""Not a test: times train epochs of RecBole's encoders on the rows of a data set that thinkrec_prepare has written. compare.py runs it.

RecBole learns here as thinkrec does, from explicit labels without negative sampling. Its loader, trainer and networks are its own; where
it has only a pairwise or softmax loss, a subclass gives it binary cross-entropy on the label of the same row:
  mf        FM over user and item ids, which is matrix factorisation with biases; cross-entropy is its own
  gmf       NeuMF without its perceptron: products of the vectors under one linear layer; cross-entropy is its own
  lightgcn  LightGCN, propagated in every step
  sasrec    SASRec; one sample a row, with the items before it; rows with nothing before them are left out, RecBole has no state for them
"""
import argparse
import json
import os
import pathlib
import statistics
import sys
import time

SPLITS = ("train", "valid", "test")


def write_atomic(data, folder, length, after_first):
    """NAME.SPLIT.inter of data.h5: the rows of each split, and the `length` items before each; `after_first`: without a user's first row.
    Returns the number of train rows."""
    import h5py
    folder.mkdir(parents=True, exist_ok=True)
    with h5py.File(data) as file:
        user, item, label, stamp = (file["interactions/" + name][:] for name in ("user", "item", "label", "timestamp"))
        begin = file["user_begin"][:]
        rows = {split: file["splits/" + split][:] for split in SPLITS}
    if after_first:
        rows = {split: of[of > begin[user[of]]] for split, of in rows.items()}
    for split in SPLITS:
        with open(folder / f"{folder.name}.{split}.inter", "w") as out:
            out.write("user_id:token\titem_id:token\tlabel:float\ttimestamp:float\titem_id_list:token_seq\n")
            for row in rows[split]:
                before = item[max(begin[user[row]], row - length):row]
                out.write(f"{user[row]}\t{item[row]}\t{label[row]}\t{stamp[row]}\t{' '.join(map(str, before))}\n")
    return len(rows["train"])


def labelled():
    """RecBole's networks under binary cross-entropy on the label."""
    import torch
    from recbole.model.context_aware_recommender.fm import FM
    from recbole.model.general_recommender.lightgcn import LightGCN
    from recbole.model.general_recommender.neumf import NeuMF
    from recbole.model.sequential_recommender.sasrec import SASRec
    from recbole.utils import InputType
    entropy = torch.nn.functional.binary_cross_entropy_with_logits

    class LabelledLightGCN(LightGCN):
        input_type = InputType.POINTWISE

        def calculate_loss(self, interaction):
            return entropy(self.predict(interaction), interaction["label"])

    class LabelledSASRec(SASRec):
        input_type = InputType.POINTWISE

        def calculate_loss(self, interaction):
            state = self.forward(interaction[self.ITEM_SEQ], interaction[self.ITEM_SEQ_LEN])
            return entropy((state * self.item_embedding(interaction[self.ITEM_ID])).sum(-1), interaction["label"])

    return {"mf": (FM, "FM"), "gmf": (NeuMF, "NeuMF"), "lightgcn": (LabelledLightGCN, "LightGCN"), "sasrec": (LabelledSASRec, "SASRec")}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="HDF5 file of thinkrec_prepare")
    parser.add_argument("--work", required=True, type=pathlib.Path, help="folder for RecBole's files")
    parser.add_argument("--kind", required=True, choices=("mf", "gmf", "lightgcn", "sasrec"))
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--batch", type=int, default=1024)
    parser.add_argument("--length", type=int, default=25)
    parser.add_argument("--epochs", type=int, default=5, help="that are timed, after one that is not")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    import torch
    torch.set_num_threads(arguments.threads)
    from recbole.config import Config
    from recbole.data import create_dataset, data_preparation
    from recbole.utils import get_trainer, init_seed
    network, name = labelled()[arguments.kind]
    folder = arguments.work.resolve() / "rows"
    sequential = arguments.kind == "sasrec"
    count = write_atomic(arguments.data, folder, arguments.length, sequential)
    os.chdir(arguments.work)  # RecBole leaves log_tensorboard/ where it stands
    columns = ["user_id", "item_id", "label"] + (["item_id_list"] if sequential else [])
    settings = {
        "data_path": str(folder.parent), "benchmark_filename": list(SPLITS), "load_col": {"inter": columns},
        "USER_ID_FIELD": "user_id", "ITEM_ID_FIELD": "item_id", "LABEL_FIELD": "label", "ITEM_LIST_LENGTH_FIELD": "item_length",
        "alias_of_item_id": ["item_id_list"] if sequential else None, "MAX_ITEM_LIST_LENGTH": arguments.length,
        "train_neg_sample_args": None, "eval_args": {"split": {"RS": [.8, .1, .1]}, "group_by": "none", "order": "TO", "mode": "labeled"},
        "metrics": ["AUC"], "valid_metric": "AUC", "train_batch_size": arguments.batch, "learning_rate": 1e-3, "embedding_size": arguments.width,
        "hidden_size": arguments.width, "inner_size": 2 * arguments.width, "n_layers": 2, "n_heads": 1, "hidden_act": "relu",
        "mf_embedding_size": arguments.width, "mf_train": True, "mlp_train": False, "loss_type": "CE" if sequential else None,
        "use_gpu": False, "show_progress": False, "worker": 0, "checkpoint_dir": str(folder.parent), "state": "ERROR", "seed": 1,
        "reproducibility": False}
    # RecBole reads the command line as well.
    sys.argv = sys.argv[:1]
    config = Config(model=name, dataset=folder.name, config_dict=settings)
    init_seed(1, False)
    dataset = create_dataset(config)
    train, valid, _ = data_preparation(config, dataset)
    # What would make the comparison another one.
    assert len(train._dataset) == count, f"RecBole kept {len(train._dataset)} of {count} rows"
    assert not hasattr(train._dataset.inter_feat, "neg_item_id") and set(train._dataset.inter_feat["label"].tolist()) == {0.0, 1.0}
    model = network(config, train._dataset)
    trainer = get_trainer(config["MODEL_TYPE"], config["model"])(config, model)
    losses, seconds = [], []
    for epoch in range(arguments.epochs + 1):
        start = time.perf_counter()
        losses.append(trainer._train_epoch(train, epoch, show_progress=False))
        seconds.append(time.perf_counter() - start)
    auc = trainer._valid_epoch(valid, show_progress=False)[0]
    assert losses[-1] < losses[0] and auc > .5, f"RecBole's {name} does not learn: losses {losses}, valid AUC {auc}"
    print(json.dumps({"seconds": statistics.median(seconds[1:]), "rows": count, "threads": torch.get_num_threads(),
                      "losses": losses, "valid_auc": auc, "torch": torch.__version__}))


if __name__ == "__main__":
    main()
