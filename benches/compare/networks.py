"""Networks, written once for both faces: MegEngine's and PyTorch's layers have the same names."""

from __future__ import annotations

#: Blocks of each stage, and whether they are bottlenecks.
RESNETS = {18: ((2, 2, 2, 2), False), 50: ((3, 4, 6, 3), True)}


def resnet(face, depth, blocks=None, width=64, classes=1000):
    """ResNet (He et al. 2015, with the stride on the 3×3 convolution); ``depth`` 18 or 50.

    Input ``[n, 3, h, w]``, output ``[n, classes]``.
    """
    nn = face.nn
    standard, bottleneck = RESNETS[depth]
    expansion = 4 if bottleneck else 1

    def conv(channels, out_channels, kernel, stride=1):
        return nn.Conv2d(
            channels, out_channels, kernel, stride=stride, padding=kernel // 2, bias=False
        )

    class Basic(nn.Module):
        def __init__(self, channels, width, stride):
            super().__init__()
            self.conv1, self.bn1 = conv(channels, width, 3, stride), nn.BatchNorm2d(width)
            self.conv2, self.bn2 = conv(width, width, 3), nn.BatchNorm2d(width)
            self.relu = face.relu_layer()
            self.downsample = shortcut(channels, width, stride)

        def forward(self, x):
            y = self.relu(self.bn1(self.conv1(x)))
            y = self.bn2(self.conv2(y))
            return self.relu(y + (x if self.downsample is None else self.downsample(x)))

    class Bottleneck(nn.Module):
        def __init__(self, channels, width, stride):
            super().__init__()
            self.conv1, self.bn1 = conv(channels, width, 1), nn.BatchNorm2d(width)
            self.conv2, self.bn2 = conv(width, width, 3, stride), nn.BatchNorm2d(width)
            self.conv3, self.bn3 = conv(width, 4 * width, 1), nn.BatchNorm2d(4 * width)
            self.relu = face.relu_layer()
            self.downsample = shortcut(channels, 4 * width, stride)

        def forward(self, x):
            y = self.relu(self.bn1(self.conv1(x)))
            y = self.relu(self.bn2(self.conv2(y)))
            y = self.bn3(self.conv3(y))
            return self.relu(y + (x if self.downsample is None else self.downsample(x)))

    def shortcut(channels, out_channels, stride):
        if stride == 1 and channels == out_channels:
            return None
        return nn.Sequential(conv(channels, out_channels, 1, stride), nn.BatchNorm2d(out_channels))

    class ResNet(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv1, self.bn1 = conv(3, width, 7, 2), nn.BatchNorm2d(width)
            self.relu, self.maxpool = face.relu_layer(), nn.MaxPool2d(3, 2, 1)
            channels, block = width, Bottleneck if bottleneck else Basic
            stages = []
            for i, count in enumerate(blocks or standard):
                layers = []
                for j in range(count):
                    stride = 2 if i > 0 and j == 0 else 1
                    layers.append(block(channels, width << i, stride))
                    channels = (width << i) * expansion
                stages.append(nn.Sequential(*layers))
            self.stages = nn.Sequential(*stages)
            self.fc = nn.Linear(channels, classes)

        def forward(self, x):
            x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
            x = self.stages(x)
            return self.fc(face.flatten(face.adaptive_avg_pool2d(x, 1), 1))

    return face.fill(ResNet())


def resnet_flops(depth, size=224, classes=1000):
    """Floating-point operations of one image's forward pass: convolutions and the last layer."""
    stages, bottleneck = RESNETS[depth]
    size //= 2
    total, channels = 49 * 3 * 64 * size**2, 64
    size //= 2
    for i, count in enumerate(stages):
        width = 64 << i
        for j in range(count):
            inner, stride = size, 2 if i > 0 and j == 0 else 1
            size //= stride
            out_channels = width * (4 if bottleneck else 1)
            if bottleneck:
                total += channels * width * inner**2 + 9 * width**2 * size**2
                total += width * out_channels * size**2
            else:
                total += 9 * (channels * width + width**2) * size**2
            if stride > 1 or channels != out_channels:
                total += channels * out_channels * size**2
            channels = out_channels
    return 2.0 * (total + channels * classes)


def digits(face):
    """The network of `examples/digits.py`: input ``[n, 1, 8, 8]``, output ``[n, 10]``."""
    nn = face.nn

    class Digits(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv1 = nn.Conv2d(1, 16, 3, padding=1)
            self.bn1 = nn.BatchNorm2d(16)
            self.act1 = nn.PReLU(16)
            self.conv2 = nn.Conv2d(16, 32, 3, padding=1)
            self.bn2 = nn.BatchNorm2d(32)
            self.act2 = nn.PReLU(32)
            self.pool = nn.MaxPool2d(2)
            self.fc = nn.Linear(32 * 2 * 2, 10)

        def forward(self, x):
            x = self.pool(self.act1(self.bn1(self.conv1(x))))
            x = self.pool(self.act2(self.bn2(self.conv2(x))))
            return self.fc(face.flatten(x, 1))

    return face.fill(Digits())
