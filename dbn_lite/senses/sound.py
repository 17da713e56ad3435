"""Spoken words as pictures for a net to learn, and pictures back to sound.

A picture is a mel spectrogram of fixed size: FRAMES columns of time, BANDS of frequency in each, numbers from 0 to 1.
Loudness, length and the silence before and after a word are taken out, since they say more of the microphone and of the
speaker than of the word.
"""

from __future__ import annotations

import base64
import html
import io
import wave
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError, whole

RATE = 8000  # samples a second
FRAMES, BANDS = 20, 24
WINDOW, HOP = 256, 64  # samples: 32 and 8 milliseconds
LOWEST, HIGHEST = 200.0, 3400.0  # hertz
FLOOR = 50.0  # decibels below the loudest moment of a word: what is softer is the room
REACH = 2.0  # a picture reaches so many standard deviations of a word's loudness in time to either side of its centre
SPREAD = 2.5  # how many standard deviations of a word's decibels fit from 0 to 1: binary units learn little of greys
MEAN, DEVIATION = -29.5, 13.0  # decibels, of words: what goes into a picture's 0.5, and into one deviation of it
SECONDS = 0.4  # how long a word is that nobody has said


def spectrogram(
    samples: NDArray[np.floating], warp: float = 1.0, stretch: float = 1.0, shift: float = 0.0
) -> NDArray[np.float32]:
    """The picture of a spoken word, (FRAMES * BANDS,), column by column, from samples (n,) at RATE.

    Variants of it: `warp` is by how much its frequencies are taken to be higher than they are, as of a shorter vocal
    tract; `stretch` by how much more time the picture shows, `shift` by how many deviations later.
    Raises InputError for what is no sound: not one row of at least WINDOW finite samples, or silence.
    """
    samples = np.asarray(samples, dtype=np.float32)
    if samples.ndim != 1 or len(samples) < WINDOW or not np.isfinite(samples).all():
        raise InputError(
            f"sound of shape {samples.shape} cannot be read; give a row of {WINDOW} finite samples or more."
        )
    power = np.abs(_transform().stft(samples)).astype(np.float32) ** 2  # (frequencies, moments)
    bands = filters(warp) @ power
    if not bands.max() > 0:
        raise InputError("a silent recording is no word; leave it out.")
    loudness = 10 * np.log10(np.maximum(bands / bands.max(), 10 ** (-FLOOR / 10)))  # 0 at the loudest
    loud, moments = np.sqrt(bands.sum(axis=0)), np.arange(bands.shape[1]) + 0.5
    centre = (moments * loud).sum() / loud.sum()
    deviation = np.sqrt((loud * (moments - centre) ** 2).sum() / loud.sum())
    half = (REACH * deviation + 1) * stretch
    columns = _means(loudness.T, centre + shift * deviation + half * np.linspace(-1, 1, FRAMES + 1))
    columns = (columns - columns.mean()) / max(float(columns.std()), 1e-3)
    picture: NDArray[np.float32] = np.clip(0.5 + columns / SPREAD, 0, 1).astype(np.float32).ravel()
    return picture


def waveform(picture: NDArray[np.floating], seconds: float = SECONDS, n_iterations: int = 60) -> NDArray[np.float32]:
    """A sound, samples (n,) from -1 to 1 at RATE, of which `picture` (FRAMES * BANDS,) is the spectrogram.

    The magnitudes are interpolated between bands, the phases found by `n_iterations` of Griffin and Lim (1984): back to
    sound and forth again, the magnitudes held. Raises InputError for a picture of another size.
    """
    picture, n_iterations = np.asarray(picture, dtype=np.float32), whole("n_iterations", n_iterations, 0)
    if picture.shape != (FRAMES * BANDS,):
        raise InputError(f"a picture of shape {picture.shape} has no sound; give ({FRAMES * BANDS},).")
    transform, n = _transform(), max(WINDOW, round(seconds * RATE))
    first, last = transform.p_min, transform.p_max(n)
    decibels = MEAN + DEVIATION * SPREAD * (_spread_out(picture.reshape(FRAMES, BANDS), last - first) - 0.5)
    magnitudes = np.sqrt(filters(area=False).T @ (10 ** (decibels / 10)).T)  # (frequencies, moments)
    phases = np.exp(2j * np.pi * np.random.default_rng(0).random(magnitudes.shape))
    for _ in range(n_iterations):
        again = transform.stft(transform.istft(magnitudes * phases, k1=n))
        phases = again / np.maximum(np.abs(again), 1e-9)
    samples = transform.istft(magnitudes * phases, k1=n).astype(np.float32)
    sound: NDArray[np.float32] = 0.9 * samples / max(float(np.abs(samples).max()), 1e-9)
    return sound


class Players(str):
    """Sounds as a notebook and a page play them, in themselves: nothing is fetched."""

    def _repr_html_(self) -> str:
        return str(self)


def players(waves: Sequence[NDArray[np.floating]], names: Sequence[str]) -> Players:
    """One player for each sound, samples from -1 to 1 at RATE, with its name: HTML that holds the sounds as WAV."""
    each = "".join(_player(samples, name) for samples, name in zip(waves, names, strict=True))
    return Players(f'<div class="players">{each}</div>')


def _player(samples: NDArray[np.floating], name: str) -> str:
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setparams((1, 2, RATE, len(samples), "NONE", ""))
        out.writeframes(np.rint(32767 * np.clip(samples, -1, 1)).astype("<i2").tobytes())
    url, label = f"data:audio/wav;base64,{base64.b64encode(file.getvalue()).decode()}", html.escape(name)
    return (
        f'<figure style="display:inline-block;margin:0.3em"><figcaption>{label}</figcaption>'
        f'<audio controls preload="auto" style="width:11em" aria-label="{label}" src="{url}"></audio></figure>'
    )


def upright(pictures: NDArray[np.floating], shape: tuple[int, int] = (BANDS, FRAMES)) -> NDArray[np.float32]:
    """Pictures (n, FRAMES * BANDS) as they are looked at, low tones at the bottom, time to the right: (n, pixels).

    In the middle of a page of `shape`, for drawing them beside images. Raises InputError if they do not fit on it.
    """
    above, beside = shape[0] - BANDS, shape[1] - FRAMES
    if above < 0 or beside < 0:
        raise InputError(f"a page of {shape} is too small for {BANDS} by {FRAMES}; give a larger one.")
    turned = pictures.reshape(-1, FRAMES, BANDS).transpose(0, 2, 1)[:, ::-1]
    margins = ((0, 0), (above // 2, above - above // 2), (beside // 2, beside - beside // 2))
    page: NDArray[np.float32] = np.pad(turned, margins).reshape(len(turned), -1).astype(np.float32)
    return page


def filters(warp: float = 1.0, area: bool = True) -> NDArray[np.float32]:
    """Triangles, evenly spaced on the mel scale: (BANDS, WINDOW // 2 + 1); of area one, or else of height one."""
    frequencies = np.linspace(0, RATE / 2, WINDOW // 2 + 1)
    mels = np.linspace(_mel(LOWEST), _mel(HIGHEST), BANDS + 2)
    corners = 700 * (10 ** (mels / 2595) - 1) / warp
    left, centre, right = (corners[i : BANDS + i, None] for i in range(3))
    triangles = np.minimum((frequencies - left) / (centre - left), (right - frequencies) / (right - centre))
    triangles = np.maximum(triangles, 0)
    if area:
        triangles /= np.maximum(triangles.sum(axis=1, keepdims=True), 1e-9)
    found: NDArray[np.float32] = triangles.astype(np.float32)
    return found


def _means(columns: NDArray[np.floating], edges: NDArray[np.floating]) -> NDArray[np.float32]:
    """Means of columns of time (m, bands) between each two of `edges`; before and after them lies the floor."""
    beyond = np.full((int(max(-edges[0], edges[-1] - len(columns), 0)) + 1, columns.shape[1]), -FLOOR)
    sums = np.cumsum(np.vstack([0 * beyond[:1], beyond, columns, beyond]), axis=0)
    at = np.arange(len(sums)) - len(beyond)
    between = np.stack([np.interp(edges, at, band) for band in sums.T], axis=1)
    return (np.diff(between, axis=0) / np.diff(edges)[:, None]).astype(np.float32)


def _spread_out(columns: NDArray[np.floating], n: int) -> NDArray[np.float32]:
    """Columns of time (m, bands) as n columns, each what lies between two."""
    m = len(columns)
    at = (np.arange(n) + 0.5) * m / n
    return np.stack([np.interp(at, np.arange(m) + 0.5, band) for band in columns.T], axis=1).astype(np.float32)


def _mel(frequency: float) -> float:
    return float(2595 * np.log10(1 + frequency / 700))


@lru_cache(1)
def _transform():  # type: ignore[no-untyped-def]
    from scipy.signal import ShortTimeFFT, windows

    return ShortTimeFFT(windows.hann(WINDOW, sym=False), HOP, RATE)
