"""Appendix B as printed: one case, float64, its names, its order, its "MATLAB style". Only the slips are corrected.

Each correction is marked `% slip` beside the line as printed; tests/test_updown.py proves that each is the right
reading. Random numbers are passed in: `rand(1, n)` is the next row of n uniform numbers.
"""

import inspect

import numpy as np

WEIGHTS = ("vishid", "hidpen", "pentop", "labtop", "penhid", "hidvis")
BIASES = ("hidrecbiases", "penrecbiases", "topbiases", "pengenbiases", "labgenbiases", "hidgenbiases", "visgenbiases")


def logistic(x):
    return 1 / (1 + np.exp(-x))


def softmax(x):
    return np.exp(x) / np.exp(x).sum()


def one_on(probs, number):
    """The state of a softmax group, a row with a single 1: the first unit at which the sum of probs reaches number."""
    total = 0.0
    for unit, p in enumerate(probs[0]):
        total += p
        if total >= number[0, 0]:
            return np.eye(probs.shape[1])[unit : unit + 1]
    raise AssertionError("the probabilities do not sum to 1")


def up_down(net, data, targets, rand, r, numCDiters, sample_labels=False):
    """One step for one case; net is a dict of arrays. Returns the workspace that MATLAB would be left with.

    data (1, vis) and targets (1, lab) are row vectors, and so are all biases. With `sample_labels`, which the
    pseudo-code does not have, exactly one label is on in a reconstruction, as section 6.1 says.
    """
    numhid, numpen, numtop = net["vishid"].shape[1], net["hidpen"].shape[1], net["pentop"].shape[1]
    vishid, hidpen, pentop, labtop, penhid, hidvis = (np.float64(net[name]) for name in WEIGHTS)
    hidrecbiases, penrecbiases, topbiases, pengenbiases, labgenbiases, hidgenbiases, visgenbiases = (
        np.float64(net[name])[None] for name in BIASES
    )

    # PERFORM A BOTTOM-UP PASS TO GET WAKE/POSITIVE PHASE PROBABILITIES AND SAMPLE STATES
    wakehidprobs = logistic(data @ vishid + hidrecbiases)
    wakehidstates = wakehidprobs > rand(1, numhid)
    wakepenprobs = logistic(wakehidstates @ hidpen + penrecbiases)
    wakepenstates = wakepenprobs > rand(1, numpen)
    waketopprobs = logistic(wakepenstates @ pentop + targets @ labtop + topbiases)  # % slip: postopprobs = ...
    waketopstates = waketopprobs > rand(1, numtop)  # % slip: postopstates = waketopprobs > rand(1, numtop));

    # POSITIVE PHASE STATISTICS FOR CONTRASTIVE DIVERGENCE
    poslabtopstatistics = targets.T @ waketopstates
    pospentopstatistics = outer(wakepenstates, waketopstates)

    # PERFORM numCDiters GIBBS SAMPLING ITERATIONS USING THE TOP LEVEL UNDIRECTED ASSOCIATIVE MEMORY
    negtopstates = waketopstates  # to initialize loop
    for _ in range(numCDiters):
        negpenprobs = logistic(negtopstates @ pentop.T + pengenbiases)
        negpenstates = negpenprobs > rand(1, numpen)
        neglabprobs = softmax(negtopstates @ labtop.T + labgenbiases)
        if sample_labels:
            neglabprobs = one_on(neglabprobs, rand(1, 1))
        negtopprobs = logistic(negpenstates @ pentop + neglabprobs @ labtop + topbiases)
        negtopstates = negtopprobs > rand(1, numtop)  # % slip: rand(1, numtop));

    # NEGATIVE PHASE STATISTICS FOR CONTRASTIVE DIVERGENCE
    negpentopstatistics = outer(negpenstates, negtopstates)
    neglabtopstatistics = neglabprobs.T @ negtopstates

    # STARTING FROM THE END OF THE GIBBS SAMPLING RUN, PERFORM A TOP-DOWN GENERATIVE PASS
    # TO GET SLEEP/NEGATIVE PHASE PROBABILITIES AND SAMPLE STATES
    sleeppenstates = negpenstates
    sleephidprobs = logistic(sleeppenstates @ penhid + hidgenbiases)
    sleephidstates = sleephidprobs > rand(1, numhid)
    sleepvisprobs = logistic(sleephidstates @ hidvis + visgenbiases)

    # PREDICTIONS
    psleeppenstates = logistic(sleephidstates @ hidpen + penrecbiases)  # % slip: the name; these are probabilities
    psleephidstates = logistic(sleepvisprobs @ vishid + hidrecbiases)  # % slip: the name; these are probabilities
    pvisprobs = logistic(wakehidstates @ hidvis + visgenbiases)
    phidprobs = logistic(wakepenstates @ penhid + hidgenbiases)

    # UPDATES TO GENERATIVE PARAMETERS
    hidvis = hidvis + r * wakehidstates.T @ (data - pvisprobs)  # % slip: -hidvis = hidvis + r*poshidstates'*...
    visgenbiases = visgenbiases + r * (data - pvisprobs)
    penhid = penhid + r * wakepenstates.T @ (wakehidstates - phidprobs)
    hidgenbiases = hidgenbiases + r * (wakehidstates - phidprobs)

    # UPDATES TO TOP LEVEL ASSOCIATIVE MEMORY PARAMETERS
    labtop = labtop + r * (poslabtopstatistics - neglabtopstatistics)
    labgenbiases = labgenbiases + r * (targets - neglabprobs)
    pentop = pentop + r * (pospentopstatistics - negpentopstatistics)
    pengenbiases = pengenbiases + r * (1.0 * wakepenstates - negpenstates)
    topbiases = topbiases + r * (1.0 * waketopstates - negtopstates)  # % slip: waketopsates

    # UPDATES TO RECOGNITION/INFERENCE APPROXIMATION PARAMETERS
    hidpen = hidpen + r * (sleephidstates.T @ (sleeppenstates - psleeppenstates))
    penrecbiases = penrecbiases + r * (sleeppenstates - psleeppenstates)
    vishid = vishid + r * (sleepvisprobs.T @ (sleephidstates - psleephidstates))
    hidrecbiases = hidrecbiases + r * (sleephidstates - psleephidstates)
    return locals()


def outer(rows, columns):
    """rows' * columns, in numbers: Python's product of two logical matrices would be logical, MATLAB's is not."""
    return (1.0 * rows).T @ columns


def reread(*readings):
    """up_down with each (exact) occurrence of one text replaced by another, for each pair of texts."""
    source, names = inspect.getsource(up_down), dict(globals())
    for printed, instead in readings:
        assert printed in source
        source = source.replace(printed, instead)
    exec(compile(source, "another reading of appendix B", "exec"), names)
    return names["up_down"]


# What the library does where it does not follow the print: probabilities of the top units in the statistics of the
# memory, for which the last of its states need not be drawn.
with_top_probs = reread(
    ("targets.T @ waketopstates", "targets.T @ waketopprobs"),
    ("outer(wakepenstates, waketopstates)", "outer(wakepenstates, waketopprobs)"),
    ("negtopprobs > rand(1, numtop)", "negtopprobs > rand(1, numtop) if _ < numCDiters - 1 else None"),
    ("outer(negpenstates, negtopstates)", "outer(negpenstates, negtopprobs)"),
    ("neglabprobs.T @ negtopstates", "neglabprobs.T @ negtopprobs"),
    ("1.0 * waketopstates - negtopstates", "waketopprobs - negtopprobs"),
)


def updates(net, data, targets, numbers, r, numCDiters, sample_labels=False, up_down=up_down):
    """What a mini-batch adds to each parameter: the mean over its cases, each (1, n) bias as (n,).

    data (n, vis), targets (n, lab); numbers: the random numbers of the step in the order of use, each (n, units).
    """
    total = {name: np.zeros(net[name].shape) for name in WEIGHTS + BIASES}
    for case in range(len(data)):
        left = iter(numbers)

        def rand(one, n, case=case, left=left):
            row = np.asarray(next(left)[case : case + 1], dtype=np.float64)
            assert row.shape == (one, n), "the library draws other numbers, or in another order"
            return row

        rows = data[case : case + 1], targets[case : case + 1]
        workspace = up_down(net, *map(np.float64, rows), rand, r / len(data), numCDiters, sample_labels)
        assert next(left, None) is None, "the library draws more numbers than the algorithm uses"
        for name in total:
            total[name] += workspace[name].reshape(net[name].shape) - net[name]
    return total
