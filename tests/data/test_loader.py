"""Batches can be repeated: by a resumed run, and by several ranks together."""

from __future__ import annotations

import hashlib

import pytest
import torch

from edgetrain.artifacts.specs import Preprocessing
from edgetrain.data.augment import Augmentation
from edgetrain.data.base import TensorSplit
from edgetrain.data.loader import Batch, BatchLoader, part_of_rank

NORMAL = Preprocessing(scale=1 / 255, mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.25))
AUGMENTED = Augmentation(flip=True, crop_padding=2, images=("inputs",))


PLAIN = {"inputs": Preprocessing()}


def images(count: int) -> TensorSplit:
    generator = torch.Generator().manual_seed(count)
    pixels = torch.randint(1, 256, (count, 3, 9, 7), generator=generator, dtype=torch.uint8)
    return TensorSplit.of(pixels, torch.arange(count))


def loader(count: int, batch_size: int, **options: object) -> BatchLoader:
    return BatchLoader(
        images(count),
        {"inputs": NORMAL},
        batch_size,
        shuffle=True,
        seed=3,
        augmentation=AUGMENTED,
        **options,  # type: ignore[arg-type]
    )


def assert_same(one: Batch, other: Batch) -> None:
    assert torch.equal(one.inputs["inputs"], other.inputs["inputs"])
    assert torch.equal(one.targets["targets"], other.targets["targets"])
    assert (one.weight, one.index) == (other.weight, other.index)


def test_without_shuffle_samples_come_in_order_and_preprocessed() -> None:
    split = images(10)
    batches = list(BatchLoader(split, {"inputs": NORMAL}, 4).epoch(0))
    assert [batch.targets["targets"].tolist() for batch in batches] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert [batch.index for batch in batches] == [0, 1, 2]
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (NORMAL.mean, NORMAL.std))
    expected = (split.inputs([8, 9])["inputs"].float() / 255 - mean) / std
    torch.testing.assert_close(batches[2].inputs["inputs"], expected)
    assert batches[2].inputs["inputs"].dtype == torch.float32
    assert batches[2].inputs["inputs"].is_contiguous()


def test_each_epoch_visits_every_sample_once_in_another_order() -> None:
    orders = [
        torch.cat([batch.targets["targets"] for batch in loader(50, 8).epoch(epoch)]).tolist()
        for epoch in range(3)
    ]
    assert all(sorted(order) == list(range(50)) for order in orders)
    assert orders[0] != orders[1] != orders[2]
    assert orders[0] != list(range(50))


def test_another_seed_gives_another_order() -> None:
    split = images(50)
    one, other = (
        next(BatchLoader(split, {"inputs": NORMAL}, 50, shuffle=True, seed=seed).epoch(0)).targets["targets"]
        for seed in (0, 1)
    )
    assert not torch.equal(one, other)


@pytest.mark.parametrize("start", [0, 1, 3, 6, 7])
def test_resuming_at_a_batch_is_bitwise_the_same(start: int) -> None:
    whole = list(loader(50, 8).epoch(2))
    torch.manual_seed(12345)
    resumed = list(loader(50, 8).epoch(2, start))
    assert len(resumed) == 7 - start
    for one, other in zip(whole[start:], resumed, strict=True):
        assert_same(one, other)


def test_skipped_batches_are_not_computed() -> None:
    asked: list[int] = []

    class Counting(TensorSplit):
        def inputs(self, indices: object) -> dict[str, torch.Tensor]:
            asked.append(len(indices))  # type: ignore[arg-type]
            return super().inputs(indices)  # type: ignore[arg-type]

    split = Counting({"inputs": torch.zeros(40, 2)}, {"targets": torch.arange(40)})
    list(BatchLoader(split, PLAIN, 8, shuffle=True).epoch(0, start=3))
    assert asked == [8, 8]


def test_augmentation_differs_between_batches_and_epochs() -> None:
    split = TensorSplit.of(images(1).inputs([0] * 16)["inputs"], torch.zeros(16, dtype=torch.int64))
    repeated = BatchLoader(split, PLAIN, 8, augmentation=AUGMENTED)
    first, second = (batch.inputs["inputs"] for batch in repeated.epoch(0))
    assert not torch.equal(first, second)
    assert not torch.equal(first, next(repeated.epoch(1)).inputs["inputs"])


def test_images_and_masks_move_alike_and_nothing_else_does() -> None:
    pixels = images(24).inputs(range(24))["inputs"]
    split = TensorSplit(
        {"image": pixels, "grey": pixels[:, :1], "numbers": torch.arange(24.0).view(24, 1)},
        {"mask": pixels[:, 0].to(torch.int64), "label": torch.arange(24)},
    )
    augmentation = Augmentation(True, 2, ("image", "grey"), {"mask": 999})
    plain = dict.fromkeys(("image", "grey", "numbers"), Preprocessing())
    loaded = BatchLoader(split, plain, 10, shuffle=True, seed=3, augmentation=augmentation)
    alone = BatchLoader(
        TensorSplit.of(pixels, torch.arange(24)), PLAIN, 10, shuffle=True, seed=3, augmentation=AUGMENTED
    )
    for batch, expected in zip(loaded.epoch(1), alone.epoch(1), strict=True):
        image, mask = batch.inputs["image"], batch.targets["mask"]
        assert torch.equal(image, expected.inputs["inputs"])
        assert torch.equal(batch.inputs["grey"], image[:, :1])
        outside = mask == 999
        assert torch.equal(outside, image[:, 0] == 0)
        assert torch.equal(mask[~outside], image[:, 0][~outside].to(torch.int64))
        assert outside.any()
        assert batch.inputs["numbers"].flatten().tolist() == batch.targets["label"].tolist()
        assert torch.equal(batch.targets["label"], expected.targets["targets"])
        assert len(batch) == len(batch.targets["label"])


def test_what_comes_in_a_seed_and_an_epoch_is_written_down() -> None:
    """Order and augmentation stay what they were, or a resumed run would see other samples."""
    digest = hashlib.sha256()
    for batch in loader(50, 8).epoch(2):
        digest.update(batch.inputs["inputs"].numpy().tobytes() + batch.targets["targets"].numpy().tobytes())
    assert digest.hexdigest() == "b7f00a30e77bb4afb9f15ad92697e1cfa1a3934d92bb0abacf614bcda47d030f"


def test_the_global_generator_is_left_alone() -> None:
    torch.manual_seed(7)
    before = torch.get_rng_state()
    list(loader(20, 8).epoch(0))
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize(
    ("count", "world_size", "batch_size"), [(48, 2, 4), (50, 2, 8), (29, 3, 3), (33, 2, 16)]
)
def test_ranks_together_see_what_one_process_sees(count: int, world_size: int, batch_size: int) -> None:
    whole = list(loader(count, batch_size * world_size).epoch(1))
    ranks = [
        list(loader(count, batch_size, rank=rank, world_size=world_size).epoch(1))
        for rank in range(world_size)
    ]
    assert all(len(batches) == len(whole) for batches in ranks)
    for index, batch in enumerate(whole):
        parts = [batches[index] for batches in ranks if batches[index].weight > 0]
        assert torch.equal(torch.cat([part.inputs["inputs"] for part in parts]), batch.inputs["inputs"]), (
            f"batch {index}"
        )
        assert torch.equal(
            torch.cat([part.targets["targets"] for part in parts]), batch.targets["targets"]
        ), f"batch {index}"
        means = [batches[index].weight * batches[index].inputs["inputs"].double().mean() for batches in ranks]
        torch.testing.assert_close(sum(means) / world_size, batch.inputs["inputs"].double().mean())


def test_a_rank_without_samples_takes_part_with_weight_zero() -> None:
    split = TensorSplit.of(torch.arange(18.0).view(18, 1), torch.arange(18))
    ranks = [list(BatchLoader(split, PLAIN, 4, rank=r, world_size=4).epoch(0)) for r in range(4)]
    assert [batches[1].targets["targets"].tolist() for batches in ranks] == [[16], [17], [16], [16]]
    assert [batches[1].weight for batches in ranks] == [2.0, 2.0, 0.0, 0.0]
    assert [len(batches[0].targets["targets"]) for batches in ranks] == [4, 4, 4, 4]


def test_parts_are_contiguous_and_even() -> None:
    assert [part_of_rank(11, rank, 4) for rank in range(4)] == [(0, 3), (3, 6), (6, 9), (9, 11)]
    assert [part_of_rank(2, rank, 3) for rank in range(3)] == [(0, 1), (1, 2), (2, 2)]


def test_integer_ids_stay_integers() -> None:
    split = TensorSplit.of(torch.tensor([[5, 6], [7, 8]]), torch.tensor([0, 1]))
    batch = next(BatchLoader(split, PLAIN, 2).epoch(0))
    assert batch.inputs["inputs"].tolist() == [[5, 6], [7, 8]]
    assert batch.inputs["inputs"].dtype == torch.int64


@pytest.mark.parametrize("wrong", [{"batch_size": 0}, {"batch_size": 1, "rank": 2, "world_size": 2}])
def test_impossible_arguments_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError):
        BatchLoader(images(2), PLAIN, **wrong)  # type: ignore[arg-type]
