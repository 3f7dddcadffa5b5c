"""Trains a small CNN with batch norm and per-channel PReLUs on real handwritten digits.

Writes out/digits.pkl (a checkpoint) and out/digits.png (learning curve, slopes, mistakes).
"""

from pathlib import Path

import matplotlib
import megengine as mge
import megengine.functional as F
import megengine.module as M
import megengine.optimizer as optim
import numpy as np
from megengine.autodiff import GradManager
from tqdm import tqdm

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / "out"
EPOCHS, BATCH = 20, 64


class Net(M.Module):
    """Two convolutions with batch norm, PReLU and pooling, and one fully connected layer."""

    def __init__(self):
        super().__init__()
        self.conv1 = M.Conv2d(1, 16, 3, padding=1)
        self.bn1 = M.BatchNorm2d(16)
        self.act1 = M.PReLU(16)
        self.conv2 = M.Conv2d(16, 32, 3, padding=1)
        self.bn2 = M.BatchNorm2d(32)
        self.act2 = M.PReLU(32)
        self.pool = M.MaxPool2d(2)
        self.fc = M.Linear(32 * 2 * 2, 10)

    def forward(self, x):
        x = self.pool(self.act1(self.bn1(self.conv1(x))))
        x = self.pool(self.act2(self.bn2(self.conv2(x))))
        return self.fc(F.flatten(x, 1))


def load_digits():
    """Images [n, 1, 8, 8] in 0..1 and labels [n], split: every fifth sample is for testing."""
    with np.load(ROOT / "data" / "digits.npz") as data:
        images = data["images"].astype(np.float32)[:, None] / 16
        labels = data["labels"].astype(np.int32)
    test = np.arange(len(labels)) % 5 == 0
    return (images[~test], labels[~test]), (images[test], labels[test])


def predict(net, images):
    """The most likely class of each image."""
    net.eval()
    return F.argmax(net(mge.tensor(images)), axis=1).numpy()


def train(net, images, labels, test_images, test_labels):
    """Trains in place; returns per epoch the mean loss, the test accuracy and the slopes."""
    gm = GradManager().attach(net.parameters())
    optimizer = optim.Adam(net.parameters(), lr=5e-3, weight_decay=1e-4)
    schedule = optim.MultiStepLR(optimizer, milestones=[12, 17], gamma=0.2)
    history = []
    with tqdm(total=EPOCHS, desc="training", unit="epoch") as progress:
        for _ in range(EPOCHS):
            net.train()
            order = mge.random.permutation(len(labels)).numpy()
            losses = []
            for start in range(0, len(order), BATCH):
                batch = order[start : start + BATCH]
                with gm:
                    logits = net(mge.tensor(images[batch]))
                    loss = F.loss.cross_entropy(logits, mge.tensor(labels[batch]))
                    gm.backward(loss)
                optimizer.step().clear_grad()
                losses.append(loss.item())
            schedule.step()
            accuracy = float((predict(net, test_images) == test_labels).mean())
            slopes = np.concatenate(
                [act.weight.numpy().ravel() for act in (net.act1, net.act2)]
            )
            history.append((float(np.mean(losses)), accuracy, slopes))
            progress.set_postfix(loss=f"{history[-1][0]:.4f}", accuracy=f"{accuracy:.4f}")
            progress.update()
    return history


def draw(history, images, labels, predicted, path):
    """Writes the picture: learning curve, slopes over epochs, misclassified digits."""
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    losses, accuracies, slopes = zip(*history, strict=True)
    epochs = range(1, len(history) + 1)
    wrong = np.flatnonzero(predicted != labels)[:10]
    figure = plt.figure(figsize=(11, 6.5), layout="constrained")
    curve, slope, *cells = (
        figure.subplot_mosaic(
            [["curve"] * 5 + ["slope"] * 5, [f"d{i}" for i in range(10)]],
            height_ratios=[3, 1],
        )
    ).values()
    curve.semilogy(epochs, losses, color="tab:blue")
    curve.set(title="Learning curve", xlabel="epoch", ylabel="training loss")
    right = curve.twinx()
    right.plot(epochs, [100 * a for a in accuracies], color="tab:orange")
    right.set(ylabel="test accuracy, %", ylim=(90, 100.2))
    curve.yaxis.label.set_color("tab:blue")
    right.yaxis.label.set_color("tab:orange")
    slope.plot(epochs, np.stack(slopes), linewidth=0.8)
    slope.axhline(0.25, color="black", linestyle=":", label="start")
    slope.set(title="PReLU slopes, one per channel", xlabel="epoch", ylabel="slope")
    slope.legend()
    for i, cell in enumerate(cells):
        cell.axis("off")
        if i < len(wrong):
            cell.imshow(images[wrong[i], 0], cmap="gray_r")
            cell.set_title(f"{labels[wrong[i]]} read as {predicted[wrong[i]]}", fontsize=8)
    figure.suptitle(f"{len(labels)} test digits, {int((predicted != labels).sum())} misread")
    figure.savefig(path, dpi=110)


def main():
    mge.random.seed(0)
    (images, labels), (test_images, test_labels) = load_digits()
    net = Net()
    history = train(net, images, labels, test_images, test_labels)
    print(f"test accuracy: {history[-1][1]:.4f}")

    OUT.mkdir(exist_ok=True)
    mge.save(net.state_dict(), OUT / "digits.pkl")
    copy = Net()
    copy.load_state_dict(mge.load(OUT / "digits.pkl"))
    predicted = predict(copy, test_images)
    print("loaded again, it reads ten test digits as", predicted[:10].tolist())
    print("                               they are", test_labels[:10].tolist())

    rust = OUT / "digits.npz"
    if rust.exists():
        with np.load(rust) as state:
            copy.load_state_dict(dict(state))
        accuracy = (predict(copy, test_images) == test_labels).mean()
        print(f"the Rust example's checkpoint: accuracy {accuracy:.4f}")

    draw(history, test_images, test_labels, predicted, OUT / "digits.png")
    print(f"wrote {(OUT / 'digits.pkl').relative_to(ROOT)} and {OUT.name}/digits.png")


if __name__ == "__main__":
    main()
