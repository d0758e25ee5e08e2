"""The one shift, and rows without padding."""

import pytest
import torch

from strop.chat import Example
from strop.common.errors import InputError
from strop.data.batch import make_batch
from strop.data.packing import pack
from strop.data.source import PackedSource


def example(tokens, weights):
    return Example(tokens, weights, "test", (), ())


def test_a_hand_checked_batch():
    batch = make_batch([example([5, 6, 7, 8], [0, 0, 1, 0.5]), example([9, 10, 11], [1, 0, 1])])
    assert batch.tokens.tolist() == [5, 6, 7, 8, 9, 10, 11]
    assert batch.positions.tolist() == [0, 1, 2, 3, 0, 1, 2]
    assert batch.seq_lens == (4, 3)
    # Token 7 is predicted at flat position 1, 8 at 2, 11 at 5; token 9 opens its sequence and is no target.
    assert batch.trained_index.tolist() == [1, 2, 5]
    assert batch.labels.tolist() == [7, 8, 11]
    assert batch.weights.tolist() == [1.0, 0.5, 1.0]
    assert batch.seq_index.tolist() == [0, 0, 1]


def test_streams_follow_their_tokens():
    rows = [example([5, 6, 7], [0, 1, 1]), example([8, 9], [0, 1])]
    batch = make_batch(rows, {"advantages": [[0, 0.1, 0.2], [0, 0.3]]})
    torch.testing.assert_close(batch.streams["advantages"], torch.tensor([0.1, 0.2, 0.3]))


def test_packing_keeps_every_index_once_within_the_row():
    lengths = [7, 3, 3, 9, 1, 5, 5, 10]
    rows = pack(lengths, 10)
    assert sorted(i for row in rows for i in row) == list(range(len(lengths)))
    assert all(sum(lengths[i] for i in row) <= 10 for row in rows)
    assert len(rows) == 5  # 43 tokens in rows of 10 cannot take fewer


def test_a_sequence_longer_than_a_row_says_what_to_raise():
    with pytest.raises(InputError, match="micro_batch_tokens to at least 11"):
        pack([3, 11], 10)


def source(**kwargs):
    rows = [example([i] * (i % 4 + 2), [0] + [1] * (i % 4 + 1)) for i in range(10)]
    return PackedSource(rows, global_batch_size=4, micro_batch_tokens=8, epochs=2, seed=3, **kwargs)


def first_tokens(batches):
    return sorted(b.tokens[start].item() for b in batches for start in (b.positions == 0).nonzero()[:, 0])


def test_an_epoch_gives_every_example_once():
    s = source()
    assert s.steps == 5
    seen = [t for _ in range(5) for t in first_tokens(s.next_step().batches)]
    assert sorted(seen) == sorted(list(range(10)) * 2)


def test_a_source_put_back_goes_on_as_it_was():
    s = source()
    s.next_step()
    state = s.state_dict()
    expected = [b.tokens.tolist() for _ in range(4) for b in s.next_step().batches]
    again = source()
    again.load_state_dict(state)
    assert [b.tokens.tolist() for _ in range(4) for b in again.next_step().batches] == expected


def test_an_example_longer_than_a_row_is_named_before_the_first_step():
    with pytest.raises(InputError, match=r"test: has 9 tokens .*micro_batch_tokens to at least 9"):
        PackedSource([example([1] * 9, [1] * 9)], global_batch_size=1, micro_batch_tokens=8)


def test_ranks_share_the_rows_of_a_step():
    whole = source().next_step().batches
    parts = [source(rank=rank, world_size=2).next_step().batches for rank in (0, 1)]
    assert first_tokens(whole) == sorted(first_tokens(parts[0]) + first_tokens(parts[1]))


def test_a_state_of_other_data_is_refused():
    with pytest.raises(InputError, match="same data"):
        source().load_state_dict({"taken": 4, "seed": 3, "examples": 11})


def test_a_child_goes_on_where_its_parent_ends():
    rows = [example([5, 6], [1, 1]), example([7, 8], [1, 0.5]), example([9], [1]), example([10, 11], [1, 1])]
    batch = make_batch(rows, sequence_streams={"pair": [-1, 0, 0, 2]}, parent=(-1, 0, 1, -1))
    assert batch.positions.tolist() == [0, 1, 2, 3, 4, 0, 1]
    assert batch.seq_lens == (2, 2, 1, 2)
    assert batch.parent == (-1, 0, 1, -1)
    # 6 from 5's position; 7 from its parent's last; 8 from 7's; 9 from its parent's last, 8; 11 from 10's.
    assert batch.trained_index.tolist() == [0, 1, 2, 3, 5]
    assert batch.labels.tolist() == [6, 7, 8, 9, 11]
    assert batch.seq_index.tolist() == [0, 1, 1, 2, 3]
    assert batch.sequence_streams["pair"].tolist() == [-1, 0, 0, 2]


def test_two_children_are_predicted_from_one_position():
    rows = [example([5, 6], [0, 0]), example([7], [1]), example([8], [1])]
    batch = make_batch(rows, parent=(-1, 0, 0))
    assert batch.trained_index.tolist() == [1, 1]
    assert batch.labels.tolist() == [7, 8]


@pytest.mark.parametrize("parent", [(0, -1), (-1, 1), (-2, -1)])
def test_a_parent_that_does_not_come_before_is_refused(parent):
    with pytest.raises(ValueError, match="parent comes before"):
        make_batch([example([5, 6], [0, 1])] * 2, parent=parent)


def test_moving_a_batch_moves_all_of_it():
    rows = [example([5, 6, 7], [0, 1, 1]), example([8, 9], [0, 1])]
    batch = make_batch(rows, {"advantages": [[0, 0.1, 0.2], [0, 0.3]]}, {"pair": [0, 1]}, (-1, 0)).to("meta")
    tensors = [batch.tokens, batch.positions, batch.trained_index, batch.labels, batch.weights, batch.seq_index]
    tensors += [batch.streams["advantages"], batch.sequence_streams["pair"]]
    assert all(t.is_meta for t in tensors)
    assert batch.parent == (-1, 0)
