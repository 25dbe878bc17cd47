"""Reviews that are invented, for tests that want many of them."""

import numpy as np

from labkit.data.reviews import Reviews


def make_reviews(n: int, seed: int = 0, share: float = 0.5, copies: float = 0.2) -> Reviews:
    """Invented reviews; some are copies of an earlier one in other letters and spaces, few with another label."""
    generator = np.random.default_rng(seed)
    texts: list[str] = []
    labels: list[int] = []
    for number in range(n):
        if texts and generator.random() < copies:
            original = int(generator.integers(len(texts)))
            texts.append(f"  {texts[original].upper().replace(' ', '   ')} ")
            labels.append(labels[original] if generator.random() < 0.9 else 1 - labels[original])
        else:
            texts.append(f"review number {seed} {number}")
            labels.append(int(generator.random() < share))
    return Reviews("invented", [str(number) for number in range(n)], texts, np.array(labels, dtype=np.int64))
