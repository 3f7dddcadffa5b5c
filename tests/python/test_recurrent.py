"""Recurrent layers: hooks, state, modes, gradients of gradients, errors, threads."""

import copy
import pickle

import megengine as mge
import megengine.functional as F
import megengine.module as M
import numpy as np
import pytest
from megengine import Parameter, Tensor
from megengine.autodiff import GradManager


def randn(*shape, seed=0):
    return np.random.RandomState(seed).randn(*shape).astype("float32")


def test_a_layer_is_its_cell_step_by_step():
    x = Tensor(randn(7, 3, 4))
    lstm, cell = M.LSTM(4, 5), M.LSTMCell(4, 5)
    weights = [cell.weight_ih, cell.weight_hh, cell.bias_ih, cell.bias_hh]
    flat = np.concatenate([w.numpy().reshape(-1) for w in weights])
    lstm._flatten_weights._reset(Tensor(flat.reshape(20, -1)))
    output, (h, c) = lstm(x)
    state = None
    for t in range(7):
        state = cell(x[t], state)
        np.testing.assert_allclose(output[t].numpy(), state[0].numpy(), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(h[0].numpy(), state[0].numpy(), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(c[0].numpy(), state[1].numpy(), rtol=1e-5, atol=1e-6)


def test_a_sequence_may_be_cut_and_continued():
    rnn, x = M.RNN(4, 5, num_layers=2, nonlinearity="relu"), Tensor(randn(6, 2, 4))
    whole, last = rnn(x)
    first, h = rnn(x[:4])
    second, h = rnn(x[4:], h)
    np.testing.assert_allclose(np.concatenate([first, second]), whole.numpy(), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(h.numpy(), last.numpy(), rtol=1e-5, atol=1e-6)


def test_backwards_in_time_is_forwards_on_the_sequence_turned_round():
    layer, turned = M.LSTM(4, 5, bidirectional=True), M.LSTM(4, 5)
    half = layer._flatten_weights.numpy().reshape(2, -1)
    x = randn(6, 3, 4)
    output = layer(Tensor(x))[0].numpy()
    for side, steps in ((0, slice(None)), (1, slice(None, None, -1))):
        turned._flatten_weights._reset(Tensor(half[side].reshape(20, -1)))
        expected = turned(Tensor(x[steps].copy()))[0].numpy()[steps]
        part = output[:, :, 5 * side : 5 * (side + 1)]
        np.testing.assert_allclose(part, expected, rtol=1e-5, atol=1e-6)


def test_hooks_see_states_and_may_replace_them():
    lstm, x, seen = M.LSTM(4, 5), Tensor(randn(6, 3, 4)), []

    def after(module, inputs, outputs):
        output, (h, c) = outputs
        seen.append((len(inputs), output.shape, h.shape, c.shape))
        return output * 0, (h, c)

    handle = lstm.register_forward_hook(after)
    assert lstm(x)[0].numpy().max() == 0
    lstm(x, lstm.init_hidden(3))
    handle.remove()
    assert lstm(x)[0].numpy().max() > 0
    shapes = ((6, 3, 5), (1, 3, 5), (1, 3, 5))
    assert seen == [(1, *shapes), (2, *shapes)]


def test_subclasses_may_change_the_start_and_the_operation():
    class Learned(M.RNN):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            self.start = Parameter(np.ones((1, 1, 5), dtype="float32"))

        def init_hidden(self, batch_size):
            return F.broadcast_to(self.start, (1, batch_size, 5))

    rnn, x = Learned(4, 5), Tensor(randn(6, 3, 4))
    gm = GradManager().attach(rnn.parameters())
    with gm:
        gm.backward(rnn(x)[0].sum())
    assert np.abs(rnn.start.grad.numpy()).max() > 0
    expected = rnn.apply_op(x, F.ones((1, 3, 5)))[0]
    np.testing.assert_array_equal(rnn(x)[0].numpy(), expected.numpy())


def test_hidden_states_by_their_methods():
    rnn, lstm = M.RNN(4, 5, 2), M.LSTM(4, 5, 2, bidirectional=True)
    assert rnn.init_hidden(3).shape == (2, 3, 5)
    assert [t.shape for t in lstm.init_hidden(3)] == [(4, 3, 5), (4, 3, 5)]
    h, c = F.zeros((4, 3, 5)), F.ones((4, 3, 5))
    assert rnn.get_output_from_hidden(h) is h
    assert lstm.get_output_from_hidden((h, c)) is h
    assert lstm.create_cell(0).weight_ih.shape == (20, 4)
    assert lstm.create_cell(1).weight_ih.shape == (20, 10)


def test_parameters_start_within_their_bound_and_fill_it():
    for layer in (M.RNN(30, 25, 2), M.LSTM(30, 25), M.RNNCell(30, 25), M.LSTMCell(30, 25)):
        for _ in range(2):
            for parameter in layer.parameters():
                assert 0.1 < np.abs(parameter.numpy()).max() <= 0.2
            layer.reset_parameters()
    cell = M.RNNCell(3, 4, bias=False)
    assert not np.any(cell.bias_ih.numpy())


def test_dropout_works_between_layers_in_training_only():
    rnn, x = M.RNN(4, 50, num_layers=2, dropout=0.5), Tensor(randn(6, 3, 4))
    assert np.any(rnn(x)[0].numpy() != rnn(x)[0].numpy())
    rnn.eval()
    np.testing.assert_array_equal(rnn(x)[0].numpy(), rnn(x)[0].numpy())
    single = M.RNN(4, 50, dropout=0.5)
    np.testing.assert_array_equal(single(x)[0].numpy(), single(x)[0].numpy())


def test_layers_copy_pickle_save_and_train(tmp_path):
    lstm, x = M.LSTM(4, 5, 2, bidirectional=True), Tensor(randn(6, 3, 4))
    expected = lstm(x)[0].numpy()
    mge.save(lstm.state_dict(), tmp_path / "state.pkl")
    loaded = M.LSTM(4, 5, 2, bidirectional=True)
    loaded.load_state_dict(mge.load(tmp_path / "state.pkl"))
    for other in (copy.deepcopy(lstm), pickle.loads(pickle.dumps(lstm)), loaded):
        np.testing.assert_array_equal(other(x)[0].numpy(), expected)
    gm = GradManager().attach(lstm.parameters())
    optimizer = mge.optimizer.Adam(lstm.parameters(), lr=0.01)
    losses = []
    for _ in range(20):
        with gm:
            loss = ((lstm(x)[0] - 0.3) ** 2).mean()
            gm.backward(loss)
        optimizer.step().clear_grad()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 2


def test_gradients_of_gradients():
    rnn, x = M.LSTM(3, 4, bidirectional=True), Tensor(randn(4, 2, 3))
    direction = Tensor(randn(4, 2, 3, seed=1))

    def slope(x):
        inner = GradManager().attach(x)
        with inner:
            inner.backward((rnn(x)[0] ** 2).sum())
        grad, x.grad = x.grad, None
        return grad

    outer, inner = GradManager().attach(x), GradManager().attach(x)
    with outer:
        with inner:
            inner.backward((rnn(x)[0] ** 2).sum())
        grad, x.grad = x.grad, None
        outer.backward((grad * direction).sum())
    step = 1e-2
    numeric = (slope(x + direction * step) - slope(x - direction * step)).numpy() / (2 * step)
    np.testing.assert_allclose(x.grad.numpy(), numeric, rtol=2e-2, atol=2e-3)


@pytest.mark.parametrize(
    "kwargs",
    [
        {"num_layers": 0},
        {"hidden_size": 0},
        {"nonlinearity": "sigmoid"},
        {"dropout": 1.5},
        {"dropout": True},
        {"proj_size": -1},
        {"proj_size": 5},
    ],
)
def test_impossible_settings_are_errors(kwargs):
    with pytest.raises(ValueError):
        M.RNN(**{"input_size": 4, "hidden_size": 5, **kwargs})


def test_what_does_not_fit_is_an_error():
    rnn, lstm, x = M.RNN(4, 5), M.LSTM(4, 5), Tensor(randn(6, 3, 4))
    for wrong in (randn(6, 4), randn(6, 3, 5), randn(0, 3, 4)):
        with pytest.raises(ValueError):
            rnn(Tensor(wrong))
    for wrong in (randn(3, 5), randn(2, 3, 5), randn(1, 2, 5)):
        with pytest.raises(ValueError):
            rnn(x, Tensor(wrong))
    for wrong in (F.ones((1, 3, 5)), (F.ones((1, 3, 5)),) * 3, (F.ones((1, 3, 5)),)):
        with pytest.raises(ValueError):
            lstm(x, wrong)
    with pytest.raises(ValueError):
        M.RNNCell(4, 5)(x)
    with pytest.raises(ValueError):
        M.LSTMCell(4, 5)(x[0], (F.ones((3, 5)), F.ones((2, 5))))
    with pytest.raises(TypeError):
        M.LSTM(4, 5, nonlinearity="relu")
    with pytest.raises(TypeError):
        M.RNN(4)
