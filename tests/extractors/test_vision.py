"""VGG16, CLIP, DINOv2 and timm's networks: their publishers' forms, and what does not fit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from bench import weights
from bench.errors import ConfigError
from bench.extractors import make
from bench.extractors.states import load_into, read_state, write_state
from bench.extractors.vision import VIT_SIDE, adapted, build_timm, load_timm, timm_weights, vgg16_state
from tests.extractors.conftest import TINY, photographs, randomised

CLIP = "vit_base_patch32_clip_quickgelu_224.openai"
DINO = "vit_small_patch14_dinov2.lvd142m"


def test_clip_in_openais_form_gives_the_reference_features():
    """A two-layer image encoder of the reference implementation, and timm's with its tensors."""
    from torch_fidelity.feature_extractor_clip import VisionTransformer

    torch.manual_seed(0)
    reference = VisionTransformer(
        input_resolution=224, patch_size=32, width=128, layers=2, heads=2, output_dim=24
    ).eval()  # fmt: skip
    published = {f"visual.{k}": v for k, v in reference.state_dict().items()}
    shape = {"embed_dim": 128, "depth": 2, "num_heads": 2, "num_classes": 24}
    loaded = load_timm(CLIP, published, "published", VIT_SIDE, **shape)
    x = torch.randn(3, 3, 224, 224)
    with torch.inference_mode():
        expected, found = reference(x), loaded.module(x)
    assert found.shape == (3, 24)
    assert float((found - expected).abs().max() / expected.abs().max()) <= 1e-5
    assert loaded.shift == pytest.approx([255 * m for m in (0.48145466, 0.4578275, 0.40821073)])


def test_dinov2_works_at_224_pixels_with_resampled_positions():
    """Published for 518 pixels: the class position stays, a field of equal positions stays, the mask token goes."""
    parts = {"embed_dim": 48, "depth": 2, "num_heads": 2}
    published = dict(build_timm(DINO, **parts).state_dict())
    published["mask_token"] = torch.zeros(1, 48)
    published["pos_embed"] = torch.full((1, 1 + 37 * 37, 48), 0.25)
    published["pos_embed"][:, 0] = 7.0
    module = build_timm(DINO, VIT_SIDE, **parts)
    state = adapted(published, module)
    assert state["pos_embed"].shape == (1, 1 + 16 * 16, 48)
    assert torch.equal(state["pos_embed"][:, 0], torch.full((1, 48), 7.0))
    assert torch.allclose(state["pos_embed"][:, 1:], torch.tensor(0.25), atol=1e-6)
    loaded = load_timm(DINO, published, "published", VIT_SIDE, **parts)
    assert loaded.module(torch.randn(2, 3, 224, 224)).shape == (2, 48)
    again = load_timm(DINO, state, "kept", VIT_SIDE, **parts)
    x = torch.randn(1, 3, 224, 224)
    assert torch.equal(again.module(x), loaded.module(x))


@pytest.mark.slow
def test_vgg16_is_torch_fidelitys(tmp_path):
    from torch_fidelity.feature_extractor_vgg16 import FeatureExtractorVGG16
    from torchvision.models import vgg16

    network = randomised(vgg16(weights=None, init_weights=False), 0)
    torch.save(network.state_dict(), tmp_path / "vgg16.pth")
    theirs = FeatureExtractorVGG16("vgg16", ["fc2_relu"], feature_extractor_weights_path=str(tmp_path / "vgg16.pth"))
    pixels = photographs(2, side=64)
    with torch.inference_mode():
        expected = theirs(torch.from_numpy(pixels).permute(0, 3, 1, 2))[0].numpy()
    found = make("vgg16", weights=tmp_path / "vgg16.pth", resize="tf1")(pixels)
    assert found.shape == (2, 4096)
    assert np.abs(found - expected).max() <= 1e-5 * np.abs(expected).max()


def test_vgg16_leaves_its_last_layer_out():
    names = {f"classifier.{i}.{part}": torch.zeros(1) for i in (0, 3, 6) for part in ("weight", "bias")}
    assert set(vgg16_state(names)) == {k for k in names if not k.startswith("classifier.6")}


def test_any_timm_network_from_a_file(tiny_weights):
    file = tiny_weights(0)
    extractor = make(f"timm:{TINY}", weights=file)
    found = extractor(photographs(3))
    assert found.shape[0] == 3
    assert np.isfinite(found).all()
    assert np.std(found) > 0
    assert extractor.identity == f"timm:{TINY}@1:clean:fp32:{weights.sha256_of(file)[:12]}"


def test_a_classifier_in_the_file_is_left_out(tiny_weights, tmp_path):
    import timm

    features = read_state(tiny_weights(0))
    whole = timm.create_model(TINY, num_classes=5)
    whole.load_state_dict(features, strict=False)
    torch.save({"state_dict": {f"module.{k}": v for k, v in whole.state_dict().items()}}, tmp_path / "whole.pth")
    pixels = photographs(2)
    found = make(f"timm:{TINY}", weights=tmp_path / "whole.pth")(pixels)
    assert np.array_equal(found, make(f"timm:{TINY}", weights=tiny_weights(0))(pixels))


def test_weights_of_another_network_are_told(tiny_weights):
    with pytest.raises(ConfigError, match="not of this network: it lacks"):
        make("timm:test_vit", weights=tiny_weights(0))(photographs(1))
    with pytest.raises(ConfigError, match="timm has no network 'resnet_51'"):
        make("timm:resnet_51", weights=tiny_weights(0))(photographs(1))
    with pytest.raises(ConfigError, match="no weight file /nowhere"):
        make(f"timm:{TINY}", weights=Path("/nowhere"))(photographs(1))
    with pytest.raises(ConfigError, match="not the file that was meant"):
        make(f"timm:{TINY}", weights=tiny_weights(0), sha256="0" * 64)(photographs(1))


def test_surplus_tensors_are_told(tiny_weights, tmp_path):
    state = read_state(tiny_weights(0))
    with pytest.raises(ConfigError, match=r"the network lacks, 1 tensors, e\.g\. extra"):
        load_into(build_timm(TINY), {**state, "extra": torch.zeros(1)}, "file")


def test_timm_names_where_its_weights_are():
    entry = timm_weights("resnet50.a1_in1k")
    assert entry.sources[0].url == "https://huggingface.co/timm/resnet50.a1_in1k/resolve/main/model.safetensors"
    assert entry.size == pytest.approx(4 * 23.5e6, rel=0.01)
    with pytest.raises(ConfigError, match="names no weights"):
        timm_weights("resnet_51")


def test_a_pickle_with_code_is_refused(tmp_path):
    trap = tmp_path / "trap.pth"
    torch.save({"weight": torch.zeros(1), "run": _Trap(tmp_path / "ran")}, trap)
    with pytest.raises(ConfigError, match=r"trap\.pth: no file of tensors"):
        read_state(trap)
    assert not (tmp_path / "ran").exists()
    (tmp_path / "text.safetensors").write_text("nothing")
    with pytest.raises(ConfigError, match=r"text\.safetensors: no file of tensors"):
        read_state(tmp_path / "text.safetensors")
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(ConfigError, match="no named tensors"):
        read_state(tmp_path / "list.pth")


class _Trap:
    """Writes a file where it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_every_catalogue_network_is_known_to_its_architecture():
    import timm

    names = [w.network for w in weights.CATALOGUE.values() if w.adapt.endswith("timm_state")]
    assert names
    assert all(timm.is_model(name) for name in names)
    for entry in weights.CATALOGUE.values():
        if entry.adapt.endswith("timm_state"):
            with torch.device("meta"):
                network = build_timm(entry.network, VIT_SIDE)
            assert entry.size == 4 * sum(p.numel() for p in network.parameters())


def test_bf16_is_another_identity(tiny_weights):
    file = tiny_weights(0)
    exact, rough = (make(f"timm:{TINY}", weights=file, precision=p) for p in ("fp32", "bf16"))
    pixels = photographs(2)
    assert exact.identity != rough.identity
    assert "bf16" in rough.identity
    assert rough(pixels) == pytest.approx(exact(pixels), abs=0.1 * float(exact(pixels).max()))


def test_state_files_are_equal_for_equal_tensors(tmp_path):
    state = {"b": torch.arange(3.0), "a": torch.ones(2, 2)}
    write_state(tmp_path / "1.safetensors", state)
    write_state(tmp_path / "2.safetensors", dict(reversed(state.items())))
    assert (tmp_path / "1.safetensors").read_bytes() == (tmp_path / "2.safetensors").read_bytes()
