"""The fourteen rows of table 1, in the paper's order, and what is run beside them."""

from __future__ import annotations

from functools import partial

from ...errors import InputError
from . import conv, model, neighbours, nets, online, pretrained, shapes, svm
from .row import Row

FREE, GEOMETRY = "permutation-invariant", "unpermuted images"
EXAMPLES, EPOCHS = "training images", "epochs"
#: the rows of table 1, in its order
#:
#: :meta hide-value:
ROWS = (
    Row(
        "this-model", FREE, "this model: 784-500-500-2000-10", 1.25, 2006, "hinton2006fast",
        "Rates, momentum and decay are not published; ours are chosen on validation images.", 1, "runs",
        run=model.model_row,
    ),
    Row(
        "svm", FREE, "support vector machine, polynomial kernel of degree 9", 1.4, 2002, "decoste2002training",
        "A machine for each pair of digits and a vote, where the source tells each digit from all others.",
        60000, EXAMPLES, run=svm.svm_row, growth=2.0,
    ),
    Row(
        "backprop-500-300", FREE, "back-propagation, 784-500-300-10, cross-entropy and weight decay", 1.51, 2006,
        "hinton2006fast", "Tanh units, mini-batches with momentum, a falling rate; the best settings of 41 trials.",
        20, EPOCHS, run=nets.weight_decay_row,
    ),
    Row(
        "backprop-800", FREE, "back-propagation, 784-800-10, cross-entropy and early stopping", 1.53, 2006,
        "hinton2006fast",
        "As above, at a steady rate; validation images also say when to stop, then all 60,000 are learnt.",
        30, EPOCHS, run=nets.early_stopping_row,
    ),
    Row(
        "backprop-500-150", FREE, "back-propagation, 784-500-150-10, squared error, one image at a time", 2.95, 1998,
        "lecun1998gradient", "Tanh outputs with targets 0.8 and -0.8, a rate that falls to nothing.",
        10, EPOCHS, run=online.online_row,
    ),
    Row(
        "knn-l3-60k", FREE, "nearest neighbour, all 60,000 examples, L3 norm", 2.8, 2006, "hinton2006fast",
        "The page that the paper cites is gone. No preprocessing; k is chosen on validation images.", 60000, EXAMPLES,
        run=partial(neighbours.knn_row, p=3),
    ),
    Row(
        "knn-l2-60k", FREE, "nearest neighbour, all 60,000 examples, L2 norm", 3.1, 2006, "hinton2006fast",
        "As with the L3 norm.", 60000, EXAMPLES,
        run=partial(neighbours.knn_row, p=2),
    ),
    Row(
        "knn-l3-20k", FREE, "nearest neighbour, 20,000 examples, L3 norm", 4.0, 2006, "hinton2006fast",
        "Which 20,000 is not said: the mean of 20 random draws. Their neighbours are found among those of all images.",
        20000, EXAMPLES, run=partial(neighbours.knn_row, p=3),
    ),
    Row(
        "knn-l2-20k", FREE, "nearest neighbour, 20,000 examples, L2 norm", 4.4, 2006, "hinton2006fast",
        "As with the L3 norm.", 20000, EXAMPLES,
        run=partial(neighbours.knn_row, p=2),
    ),
    Row(
        "convnet-elastic", GEOMETRY, "convolutional net, elastic deformations, cross-entropy", 0.4, 2003,
        "simard2003best", "Mini-batches of 100 with momentum, and fewer epochs; tanh units.",
        100, EPOCHS, run=conv.elastic_row,
    ),
    Row(
        "virtual-svm", GEOMETRY, "virtual SVM, degree 9, deskewed, two-pixel translations", 0.56, 2002,
        "decoste2002training",
        "A machine for each pair of digits, retrained on its own shifted support vectors; deskewing is ours.",
        60000, EXAMPLES, run=svm.virtual_svm_row, growth=2.0,
    ),
    Row(
        "shape-contexts", GEOMETRY, "shape contexts, matched by hand-made rules", 0.63, 2002, "belongie2002shape",
        "Every fifth test image, each against its 200 nearest (L2) of 20,000 prototypes, not all.",
        2000, "test images", run=shapes.shapes_row,
    ),
    Row(
        "lenet5-affine", GEOMETRY, "LeNet5, affine deformations", 0.8, 1998, "lecun1998gradient",
        "Fresh distortions in each epoch, of sizes of our own; a softmax at the top; mini-batches of 100, momentum.",
        60, EPOCHS, run=conv.affine_row,
    ),
    Row(
        "lenet5", GEOMETRY, "LeNet5", 0.95, 1998, "lecun1998gradient",
        "A softmax at the top in place of distances to drawn characters; mini-batches of 100 with momentum.",
        20, EPOCHS, run=conv.lenet5_row,
    ),
)  # fmt: skip

BESIDE = (  # not in the table: `paper_error` is that of the source
    Row(
        "dbn-backprop", FREE, "this model's net after greedy learning, then back-propagation", 1.2, 2006,
        "hinton2006reducing",
        "Greedy learning saw labels at the top; mini-batches of 100, momentum and a rate that falls to nothing.",
        10, EPOCHS, run=pretrained.pretrained_row,
    ),
)  # fmt: skip


def row_named(name: str) -> Row:
    """Find a row by its name. Raises InputError that lists them all."""
    for row in ROWS + BESIDE:
        if row.name == name:
            return row
    raise InputError(f"table 1 has no row {name!r}; choose one of {', '.join(row.name for row in ROWS + BESIDE)}.")
