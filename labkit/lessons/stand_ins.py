"""The shipped stand-ins for what could not be fetched, under a banner.

Only notebooks call this. The command line never trains on a stand-in: it stops and names the ways out.
"""

from labkit.data.assets import AssetMissing
from labkit.data.reviews import Corpus, Reviews, label_corpus, load_corpus, sample_corpus
from labkit.display import banner
from labkit.models.encoders import encoder_folder


def movie_reviews_or_sample(neutral_band: float = 0.5) -> Reviews:
    """The labelled movie reviews, or the small written sample, under a banner."""
    return label_corpus(movie_corpus_or_sample(), neutral_band)


def movie_corpus_or_sample() -> Corpus:
    """The movie reviews with their ratings, or the written sample, under a banner.

    The sample has mean ratings only.
    """
    try:
        return load_corpus("movies")
    except AssetMissing as why:
        sample = sample_corpus()
        banner(
            f"These are {len(sample)} reviews written for this course, not the real movie reviews: scores mean little.\n{why}"
        )
        return sample


def encoder_or_tiny(name: str) -> str:
    """`name` if that encoder is here, or `tiny`, which is shipped, under a banner."""
    try:
        encoder_folder(name)
    except AssetMissing as why:
        banner(f"The tiny BERT stands in for {name}: what you see is the same idea at a lower score.\n{why}")
        return "tiny"
    return name
