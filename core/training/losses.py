"""What training makes smaller."""

import torch
from torch import Tensor
from torch.nn import functional


def contrastive(logits: Tensor, labels: Tensor, captions: Tensor) -> Tensor:
    """Symmetric contrastive loss with all positives counted (UniCL, Yang et al. 2022, arXiv:2204.03610).

    `logits`: (batch, batch), documents against captions, scaled. `labels`, `captions`: (batch,), numbers of classes
    and of captions; what shares either belongs together, and none of it is anyone's negative.
    """
    together = (labels[:, None] == labels[None, :]) | (captions[:, None] == captions[None, :])
    targets = together.float()
    to_captions = _soft_cross_entropy(logits, targets / targets.sum(1, keepdim=True))
    to_documents = _soft_cross_entropy(logits.T, targets.T / targets.T.sum(1, keepdim=True))
    return (to_captions + to_documents) / 2


def classification(logits: Tensor, outside: Tensor, labels: Tensor, smoothing: float) -> Tensor:
    """Cross-entropy over the prototypes of all classes, and "none of these" beside them.

    `logits`: (batch, classes), `outside`: (batch,), `labels`: (batch,).
    """
    return functional.cross_entropy(torch.cat([logits, outside[:, None]], 1), labels, label_smoothing=smoothing)


def _soft_cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    return -(targets * functional.log_softmax(logits, 1)).sum(1).mean()
