"""Two senses over one memory: sounds as pictures and back, pairs, and dreams held to sums over all states."""

import base64
import io
import json
import re

import numpy as np
import pytest
from scipy.io import wavfile
from tiny import machines, means_agree, misfit

from dbn_lite import backend, cli, exact
from dbn_lite.dataset import Dataset
from dbn_lite.errors import InputError
from dbn_lite.files import unpacked
from dbn_lite.rbm import RBM, random_rbm
from dbn_lite.senses import experiment, learners, pairnet, pairs, sound
from dbn_lite.senses.experiment import HELD_OUT, Settings
from dbn_lite.senses.reader import Reader
from dbn_lite.senses.speech import Speech

N_IMAGE, N_SOUND, N_TOP = 2, 3, 4


def stream(seed=0):
    return backend.Random(seed, "test")


# ---- Sounds and their pictures


def tone(hertz, seconds=0.5, loudness=0.5):
    """A tone that swells and fades, with silence around it."""
    moments = np.arange(round(seconds * sound.RATE)) / sound.RATE
    return loudness * np.sin(2 * np.pi * hertz * moments) * np.sin(np.pi * moments / seconds) ** 2


def brightest(column):
    """The band in the middle of those that are nearly as bright as the brightest."""
    return np.flatnonzero(column > column.max() - 0.02).mean()


def hiss(*seeds):
    """Noises of different colours, one after the other, as a word has them: a vowel's would be tones."""
    parts = [np.cumsum(np.random.default_rng(k).normal(size=2000)) if k % 2 else
             np.random.default_rng(k).normal(size=2000) for k in seeds]  # fmt: skip
    return np.concatenate([0.1 * (x - x.mean()) / x.std() for x in parts]) * np.hanning(2000 * len(seeds))


@pytest.mark.parametrize("hertz", [400, 1000, 2500])
def test_a_tone_is_bright_in_the_band_that_it_lies_in(hertz):
    picture = sound.spectrogram(tone(hertz)).reshape(sound.FRAMES, sound.BANDS)
    mel = 2595 * np.log10(1 + np.array([sound.LOWEST, hertz, sound.HIGHEST]) / 700)
    place = (mel[1] - mel[0]) / (mel[2] - mel[0]) * (sound.BANDS + 1) - 1
    assert abs(brightest(picture[sound.FRAMES // 2]) - place) <= 1
    assert picture.min() >= 0 and picture.max() <= 1 and picture.dtype == np.float32  # noqa: PT018


def test_neither_loudness_nor_silence_nor_length_changes_a_picture():
    word = tone(600) + 0.3 * tone(1800)
    picture = sound.spectrogram(word)
    quiet = np.concatenate([np.zeros(1600), 0.01 * word, np.zeros(3200)])
    slow = tone(600, 0.8) + 0.3 * tone(1800, 0.8)
    for other in (quiet, slow):
        assert np.corrcoef(picture, sound.spectrogram(other))[0, 1] > 0.97


def test_a_tone_comes_back_as_itself():
    picture = sound.spectrogram(tone(1000))
    wave = sound.waveform(picture, seconds=0.5)
    assert wave.shape == (round(0.5 * sound.RATE),)
    assert np.abs(wave).max() <= 1
    loudest = np.abs(np.fft.rfft(wave)).argmax() / 0.5
    assert abs(loudest - 1000) < 100  # a band is 150 hertz wide there
    again, picture = (x.reshape(sound.FRAMES, sound.BANDS) for x in (sound.spectrogram(wave), picture))
    assert abs(brightest(again[sound.FRAMES // 2]) - brightest(picture[sound.FRAMES // 2])) <= 1


def test_griffin_and_lim_bring_the_sound_closer_to_its_picture():
    word = hiss(0, 1)
    picture = sound.spectrogram(word)
    first, last = (np.corrcoef(picture, sound.spectrogram(sound.waveform(picture, 0.5, n)))[0, 1] for n in (0, 60))
    assert last > max(0.75, first)


def test_variants_are_other_pictures_of_the_same_word():
    word = tone(600, 0.4)
    plain = sound.spectrogram(word).reshape(sound.FRAMES, sound.BANDS)
    higher = sound.spectrogram(word, warp=1.1).reshape(sound.FRAMES, sound.BANDS)
    assert brightest(higher[10]) > brightest(plain[10])
    wider = sound.spectrogram(word, stretch=1.5).reshape(sound.FRAMES, sound.BANDS)
    assert (wider > 0.7).any(axis=1).sum() < (plain > 0.7).any(axis=1).sum()
    later = sound.spectrogram(word, shift=0.5).reshape(sound.FRAMES, sound.BANDS)
    centre = [(x.mean(axis=1) * np.arange(sound.FRAMES)).sum() / x.mean(axis=1).sum() for x in (plain, later)]
    assert centre[1] < centre[0]


@pytest.mark.parametrize("wave", [np.zeros(4000), np.ones(10), np.ones((2, 4000)), np.full(4000, np.nan)])
def test_what_is_no_word_is_refused(wave):
    with pytest.raises(InputError, match=r"give a row|silent"):
        sound.spectrogram(wave)
    with pytest.raises(InputError, match="has no sound; give"):
        sound.waveform(wave)


def test_players_hold_their_sounds_and_fetch_nothing():
    waves = [np.float32([0, 0.5, -1, 1]), np.float32([0.25] * 9)]
    html = sound.players(waves, ["a <three>", "four"])._repr_html_()
    assert html.count("<audio") == 2
    assert "a &lt;three&gt;" in html
    for wave, data in zip(waves, re.findall('src="data:audio/wav;base64,([^"]+)"', html), strict=True):
        rate, samples = wavfile.read(io.BytesIO(base64.b64decode(data)))
        assert rate == sound.RATE
        np.testing.assert_allclose(samples / 32767, wave, atol=1e-4)


def test_a_picture_stands_upright_with_low_tones_below():
    low = np.zeros((sound.FRAMES, sound.BANDS), np.float32)
    low[3, 0] = 1
    page = sound.upright(low.reshape(1, -1), (28, 28)).reshape(28, 28)
    assert np.argwhere(page == 1).tolist() == [[25, 7]]
    with pytest.raises(InputError, match="too small"):
        sound.upright(low.reshape(1, -1), (10, 28))


# ---- Pairs


def test_pairs_are_of_one_class_balanced_and_fair():
    rng = np.random.default_rng(0)
    image_labels, sound_labels = (
        rng.permutation(np.repeat(np.arange(5), 13)),
        rng.permutation(np.repeat(np.arange(5), 4)),
    )
    images, sounds = pairs.draw_pairs(image_labels, sound_labels, 20, 30, rng)
    assert images.shape == sounds.shape == (600,)
    np.testing.assert_array_equal(image_labels[images], sound_labels[sounds])
    for batch in image_labels[images].reshape(30, 20):
        np.testing.assert_array_equal(np.bincount(batch), 4)
    for drawn, n in ((images, 65), (sounds, 20)):
        counts = np.bincount(drawn, minlength=n)
        assert counts.max() - counts.min() <= 1
    again = pairs.draw_pairs(image_labels, sound_labels, 20, 30, rng)
    met = set(zip(images.tolist(), sounds.tolist(), strict=True))
    assert len(met | set(zip(again[0].tolist(), again[1].tolist(), strict=True))) > len(met)


def test_both_halves_of_a_mini_batch_have_all_classes():
    labels = np.repeat(np.arange(2), 50)
    images, _ = pairs.draw_pairs(labels, labels, 100, 40, np.random.default_rng(1))
    halves = labels[images].reshape(80, 50).mean(axis=1)
    assert abs(halves - 0.5).max() < 0.3


def test_pairs_that_cannot_be_are_refused():
    rng, labels = np.random.default_rng(0), np.repeat(np.arange(3), 4)
    with pytest.raises(InputError, match="give both of the same ones"):
        pairs.draw_pairs(labels, labels[:8], 6, 1, rng)
    with pytest.raises(InputError, match="do not hold 3 classes equally"):
        pairs.draw_pairs(labels, labels, 10, 1, rng)


# ---- Dreams, against sums over all states


def conditional(oracle, known, held):
    """p(unknown visible units | held ones), in counting order of the unknown: by exact sums."""
    probs = np.exp(exact.log_prob(oracle))
    fits = (oracle.v_states[:, known] == held).all(axis=1)
    return probs[fits] / probs[fits].sum()


@pytest.mark.parametrize("sense", pairnet.SENSES)
def test_imagining_draws_from_the_exact_conditional_distribution(sense):
    memory, oracle = machines(N_IMAGE + N_SOUND, N_TOP, seed=3)
    image, heard = slice(0, N_IMAGE), slice(N_IMAGE, N_IMAGE + N_SOUND)
    known, unknown = (image, heard) if sense == "image" else (heard, image)
    held = np.float32([1, 0, 1])[: known.stop - known.start]
    n, width = 40_000, unknown.stop - unknown.start
    states = np.zeros((n, width), np.float32)
    pairnet.imagine(memory, known, np.tile(held, (n, 1)), unknown, states, 30, stream())
    assert misfit(exact.state_index(states, width), conditional(oracle, known, held)) < 1


def tiny_net(seed=0, scale=1.5):
    """A net whose every state can be counted: images of 3 units, sounds of 4, and a memory over 2 and 3 features."""
    rng = np.random.default_rng(seed)

    def weights(*sizes):
        return [np.float32(scale * rng.normal(size=size)) for size in sizes]

    def path(vis, hid, pen):
        up = [tuple(weights((vis, hid), hid)), tuple(weights((hid, pen), pen))]
        return pairnet.Pathway(up, [tuple(weights((hid, vis), vis)), tuple(weights((pen, hid), hid))])

    memory = RBM(*weights((N_IMAGE + N_SOUND, N_TOP), N_IMAGE + N_SOUND, N_TOP))
    return pairnet.PairNet(path(3, 3, N_IMAGE), path(4, 3, N_SOUND), memory)


def logistic(x):
    return 1 / (1 + np.exp(-x))


@pytest.mark.parametrize("sense", pairnet.SENSES)
def test_a_dream_has_the_mean_that_all_states_together_give(sense):
    net = tiny_net()
    given = np.float32([[0.3, 0.9, 0.1, 1.0]])[:, : getattr(net, sense).sizes[0]]
    features = given.astype(float)
    for W, biases in getattr(net, sense).rec:
        features = logistic(features @ W + biases)
    # the energy with probabilities held on is that of a machine whose top biases they shift
    known, unknown = net.features(sense), net.features(pairnet.other(sense))
    shifted = exact.BoltzmannMachine(
        np.float64(net.memory.W[unknown]), net.memory.vis_bias[unknown],
        net.memory.hid_bias + features[0] @ net.memory.W[known],
    )  # fmt: skip
    (low, low_biases), (high, high_biases) = getattr(net, pairnet.other(sense)).gen
    hidden = exact.binary_states(3)
    on = logistic(shifted.v_states @ high + high_biases)
    weights = np.prod(np.where(hidden[None] == 1, on[:, None], 1 - on[:, None]), axis=2)
    means = np.exp(exact.log_prob(shifted)) @ weights @ logistic(hidden @ low + low_biases)
    dreams = pairnet.dream(net, np.repeat(given, 20_000, axis=0), sense, 30, stream())
    assert means_agree(dreams, means)


def test_the_same_seed_dreams_the_same_and_bad_input_is_one_sentence():
    net, heard = tiny_net(), np.float32(np.eye(4))
    np.testing.assert_array_equal(pairnet.dream(net, heard, "sound", 5, 3), pairnet.dream(net, heard, "sound", 5, 3))
    with pytest.raises(InputError, match="no sense called 'smell'; choose image or sound"):
        pairnet.dream(net, heard, "smell")
    with pytest.raises(InputError, match="give images of 3 pixels"):
        pairnet.dream(net, heard, "image")
    with pytest.raises(InputError, match="n_gibbs is 0"):
        pairnet.dream(net, heard, "sound", 0)
    with pytest.raises(InputError, match="does not hold 5 features"):
        pairnet.PairNet(net.image, net.sound, random_rbm(4, 2, 0))


# ---- Learning


def test_recall_learns_which_halves_belong_together():
    memory, rng = random_rbm(8, 12, 0), np.random.default_rng(0)
    images = np.float32([[1, 1, 0, 0], [0, 0, 1, 1]])
    sounds = np.float32([[1, 0, 1, 0], [0, 1, 0, 1]])
    recall, bits = learners.Recall(memory, 4, 20), stream()
    for _ in range(600):
        which = rng.integers(2, size=20)
        recall.step(np.hstack([images[which], sounds[which]]), bits, 0.2, 0.5, n_gibbs=3)
    oracle = exact.BoltzmannMachine(memory.W, memory.vis_bias, memory.hid_bias)
    for image, heard in zip(images, sounds, strict=True):
        for held, asked, known in ((image, heard, slice(0, 4)), (heard, image, slice(4, 8))):
            assert conditional(oracle, known, held)[exact.state_index(asked, 4)][0] > 0.9


def test_a_step_of_recall_is_along_the_difference_of_two_conditional_means():
    ours, oracle = machines(N_IMAGE + N_SOUND, N_TOP, seed=5)
    pair, n = np.float32([1, 0, 0, 1, 1]), 40_000
    recall = learners.Recall(RBM(ours.W.copy(), ours.vis_bias.copy(), ours.hid_bias.copy()), N_IMAGE, n)
    recall.step(np.tile(pair, (n, 1)), stream(), 1.0, n_gibbs=25)
    v, negative = oracle.v_states, 0
    for known in (slice(0, N_IMAGE), slice(N_IMAGE, None)):
        fits = (v[:, known] == pair[known]).all(axis=1)
        probs = conditional(oracle, known, pair[known])
        negative = negative + 0.5 * (probs[:, None] * v[fits]).T @ exact.mean_h_from_v(oracle, v[fits])
    expected = np.outer(pair, exact.mean_h_from_v(oracle, pair[None])[0]) - negative
    np.testing.assert_allclose(recall.rbm.W - ours.W, expected, atol=0.015)


def test_up_down_moves_each_weight_by_what_was_missed(monkeypatch):
    """One step beside the delta rule written out, with the states that the step itself has drawn."""
    net, n, seen = tiny_net(scale=0.5), 6, {"_states_up": [], "_states_down": []}
    before = {
        (sense, way): [(W.copy(), b.copy()) for W, b in getattr(getattr(net, sense), way)]
        for sense in pairnet.SENSES for way in ("rec", "gen")
    }  # fmt: skip
    for name, kept in seen.items():
        drawn = getattr(learners, name)
        monkeypatch.setattr(
            learners, name, lambda *args, drawn=drawn, kept=kept: kept.append(list(drawn(*args))) or kept[-1]
        )
    rng = np.random.default_rng(1)
    images, sounds = np.float32(rng.random((n, 3))), np.float32(rng.random((n, 4)))
    learners.PairUpDown(net, n).step(images, sounds, stream(), 0.3)
    for sense, wake, sleep in zip(pairnet.SENSES, seen["_states_up"], seen["_states_down"], strict=True):
        np.testing.assert_array_equal(wake[0], images if sense == "image" else sounds)
        for layers in (wake, sleep):
            assert all(np.isin(states, (0, 1)).all() for states in layers[1:])
        for i in range(2):
            for way, cause, effect in (("gen", wake[i + 1], wake[i]), ("rec", sleep[i], sleep[i + 1])):
                W, biases = before[sense, way][i]
                missed = np.float64(effect) - logistic(np.float64(cause) @ W + biases)
                ours = getattr(getattr(net, sense), way)[i]
                np.testing.assert_allclose(ours[0], W + 0.3 / n * cause.T @ missed, atol=1e-5)
                np.testing.assert_allclose(ours[1], biases + 0.3 / n * missed.sum(axis=0), atol=1e-5)


def test_learners_refuse_what_does_not_fit():
    net = tiny_net()
    with pytest.raises(InputError, match="has no two halves; give an even number"):
        learners.Recall(net.memory, N_IMAGE, 5)
    with pytest.raises(InputError, match="pairs have the shape"):
        learners.Recall(net.memory, N_IMAGE, 4).step(np.zeros((4, 4), np.float32), stream(), 0.1)
    with pytest.raises(InputError, match="sounds have the shape"):
        learners.PairUpDown(net, 4).step(np.zeros((4, 3), np.float32), np.zeros((4, 3), np.float32), stream(), 0.1)


# ---- The experiment


class Few:
    """Stands in for MNIST and fsdd: digits of ink in ten places, words of one tone each, three speakers."""

    def __init__(self, seed=0):
        rng = np.random.default_rng(seed)
        labels = np.uint8(np.repeat(np.arange(10), 260))
        ink = np.kron(np.eye(10), np.ones(6))[labels] * rng.uniform(0.5, 1, (2600, 60))
        self.images = Dataset("few", ink, labels, ink, labels, (6, 10))
        hertz = np.geomspace(300, 3000, 10)
        said = [(tone(hertz[k] * pitch, 0.3), k, who) for who, pitch in (("ann", 1), ("bob", 1.04), (HELD_OUT, 1.02))
                for k in range(10) for _ in range(5)]  # fmt: skip
        noisy = [np.float32(wave + 0.001 * rng.normal(size=wave.shape)) for wave, _, _ in said]
        self.speech = Speech(noisy, np.uint8([k for _, k, _ in said]), np.array([who for *_, who in said]))


SMALL = Settings(
    images=100, variants=1, image_layers=(30, 20), sound_layers=(60, 40), top=60, image_epochs=30, sound_epochs=200,
    recall_epochs=15, up_down_epochs=1, recall_rate=0.05, n_gibbs=5,
)  # fmt: skip


@pytest.fixture(scope="module")
def few():
    return Few()


@pytest.fixture(scope="module")
def ran(few):
    told = []
    rows, net = experiment.run(few.images, few.speech, SMALL, HELD_OUT, 0, lambda *one: told.append(one))
    return rows, net, told


def test_a_voice_that_no_net_has_heard_is_understood_and_answered(ran):
    """Ten tones and ten places of ink: here nearly every dream must be right, both ways."""
    rows, _, told = ran
    assert [row["stage"] for row in rows] == ["recall", "up-down"]
    for way in ("sound to image, by eye", "image to sound, by ear"):
        assert rows[0][way]["percent"] > 80
        assert sum(rows[0][way]["by_digit"]) == rows[0][way]["right"]
    assert {stage for stage, *_ in told} == {
        "spectrograms", "images, greedily", "sounds, greedily", "recall", "up-down"
    }  # fmt: skip


def test_the_held_out_speaker_is_in_no_training_set(few, monkeypatch):
    heard = []
    monkeypatch.setattr(Speech, "pictures", lambda self: heard.append(set(self.speakers.tolist())) or np.zeros((1, 9)))
    monkeypatch.setattr(Speech, "variants", lambda self, n, rng: 1 / 0)
    for speaker in ("bob", HELD_OUT):
        with pytest.raises(ZeroDivisionError):
            experiment.run(few.images, few.speech, SMALL, speaker, 0, lambda *_: None)
    assert heard == [{"ann"}, {"bob"}, {"ann", "bob"}, {HELD_OUT}]


def test_test_images_are_shown_in_the_final_run_alone():
    few = Few()
    labels = np.uint8(np.repeat(np.arange(10), 60))
    few.images = Dataset(
        "few", few.images.train_images, few.images.train_labels, np.full((600, 60), 0.5), labels, (6, 10)
    )
    for final in (False, True):
        learnt, for_eye, shown = experiment.examples(few.images, 100, final)
        assert ((shown[0] == 0.5).all()) == final
        assert not (learnt[0] == 0.5).any() and not (for_eye[0] == 0.5).any()  # noqa: PT018
    with pytest.raises(InputError, match="few has too few images of a class"):
        experiment.examples(few.images, 190, False)


def test_a_net_comes_back_from_its_file(ran, few, tmp_path):
    net, path = ran[1], tmp_path / "net.npz"
    pairnet.save(net, path, seed=0)
    again, heard = pairnet.load(path), few.speech.pictures()[:4]
    for name, a in pairnet.arrays_of(net).items():
        np.testing.assert_allclose(pairnet.arrays_of(again)[name], a, atol=1e-3, rtol=1e-3)
    assert pairnet.dream(again, heard, "sound", 5).shape == (4, 60)
    with np.load(path) as file:
        arrays = dict(file)
    for spoilt, why in (
        ({"memory.W": arrays["memory.W"][1:]}, "do not join|does not hold"),
        ({"image.rec.1.b": arrays["image.rec.1.b"][1:]}, "do not fit|does not hold"),
        ({"sound.gen.0.W": np.full_like(arrays["sound.gen.0.W"], np.nan)}, "do not fit"),
    ):
        np.savez(path, **{**arrays, **spoilt})
        with pytest.raises(InputError, match=why):
            pairnet.load(path)
    np.savez(path, W=np.zeros(3))
    with pytest.raises(InputError, match="is no net of two senses"):
        pairnet.load(path)


def test_the_command_records_searches_beside_the_final_run(few, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr("dbn_lite.data.load", lambda name: few.images)
    monkeypatch.setattr("dbn_lite.senses.speech.load_speech", lambda: few.speech)
    few.images.test_images.setflags(write=False)
    quick = {"images": 100, "variants": 0, "image_epochs": 1, "sound_epochs": 1, "recall_epochs": 1, "top": 20,
             "up_down_epochs": 0, "sound_layers": [20, 20], "dream_gibbs": 2}  # fmt: skip
    (tmp_path / "quick.json").write_text(json.dumps(quick))
    out, net = tmp_path / "senses.json", tmp_path / "net.npz"
    call = ["senses", "--data", "few", "--settings", str(tmp_path / "quick.json"), "--out", str(out)]
    assert cli.main([*call, "--speaker", "bob"]) == 0
    assert cli.main([*call, "--net", str(net), "--json"]) == 0
    found = json.loads(out.read_text())
    assert [row["speaker"] for row in found["search"]] == ["bob"]
    assert [row["speaker"] for row in found["rows"]] == [HELD_OUT]
    assert found["search"][0]["changes"]["top"] == found["settings"]["top"] == 20
    shapes = {name: unpacked(found["examples"][name], n).shape for name, n in (("heard", 10), ("seen", 40))}
    assert shapes == {"heard": (10, sound.FRAMES * sound.BANDS), "seen": (40, 60)}
    assert pairnet.load(net).memory.n_hid == 20
    capsys.readouterr()
    for bad, why in (
        ('{"tops": 3}', "no setting 'tops'"),
        ('{"top": "x"}', "top is 'x'; give a whole number"),
        ('{"image_layers": 5}', "give a size for each layer"),
        ('{"trust": -1}', "trust is -1; give a"),
    ):
        (tmp_path / "quick.json").write_text(bad)
        assert cli.main(call) == 2
        assert why in capsys.readouterr().err
    (tmp_path / "quick.json").write_text("{}")
    assert cli.main([*call, "--speaker", "eve"]) == 2
    assert "there is no speaker 'eve'; choose from ann, bob" in capsys.readouterr().err


def test_a_reader_reads_what_it_has_not_seen():
    rng, centres = np.random.default_rng(0), np.random.default_rng(1).random((4, 30))
    labels = rng.integers(4, size=400)
    rows = np.float32(centres[labels] + 0.1 * rng.normal(size=(400, 30)))
    reader = Reader(rows[:200], labels[:200] + 3)
    assert (reader.read(rows[200:]) == labels[200:] + 3).mean() > 0.98
    with pytest.raises(InputError, match="teach nothing"):
        Reader(rows, labels[:9])
