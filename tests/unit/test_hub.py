import pytest
import torch
from omegaconf import OmegaConf

import vosfw
from vosfw import hub
from vosfw.config import compose, instantiate_model
from vosfw.errors import CheckpointError, ConfigError


@pytest.fixture
def demo():
    torch.manual_seed(0)
    config = compose(["model=demo", "engine.policy.every=4"])
    return config, instantiate_model(config.model)


def written(path, demo, name="demo"):
    config, model = demo
    hub.save(path, model.state_dict(), name, config.model, config.engine)
    return path


def test_a_saved_network_comes_back_with_its_engine(tmp_path, demo):
    model = vosfw.load(written(tmp_path / "demo.safetensors", demo))
    for key, value in demo[1].state_dict().items():
        assert torch.equal(model.state_dict()[key], value)
    assert model.default_engine.policy.every == 4
    assert not model.training


def test_a_lightning_checkpoint(tmp_path, demo):
    config, model = demo
    state = {f"segmenter.{key}": value for key, value in model.state_dict().items()}
    stored = {"version": 1, "name": "demo", "model": OmegaConf.to_container(config.model, resolve=True)}
    torch.save({"state_dict": {**state, "loss.weight": torch.ones(1)}, "vosfw": stored}, tmp_path / "run.ckpt")
    loaded = vosfw.load(tmp_path / "run.ckpt")
    assert torch.equal(loaded.state_dict()["key_proj.weight"], model.state_dict()["key_proj.weight"])
    assert loaded.default_engine is None


def test_named_presets_and_configs(demo):
    assert vosfw.load("demo", weights=None).default_engine is not None
    assert isinstance(vosfw.load(demo[0].model), type(demo[1]))
    with pytest.raises(CheckpointError, match=r"python -m vosfw\.convert"):
        vosfw.load("stcn")
    with pytest.raises(ConfigError, match="did you mean stcn"):
        vosfw.load("stnc", weights=None)


def test_the_embedded_network():
    model = vosfw.load()
    assert model.composition["name"] == "embedded" and model.default_engine is not None
    assert all(value.isfinite().all() and value.dtype == torch.float32 for value in model.parameters())
    assert vosfw.hub.EMBEDDED.stat().st_size <= 15e6
    same, other = vosfw.load("embedded"), vosfw.load("embedded", weights=None)
    key = next(iter(model.state_dict()))
    assert torch.equal(same.state_dict()[key], model.state_dict()[key])
    assert not torch.equal(other.state_dict()[key], model.state_dict()[key])


def test_addresses_are_fetched_once_and_checked(tmp_path, demo, monkeypatch):
    import hashlib

    monkeypatch.setenv("VOSFW_CACHE", str(tmp_path / "cache"))
    source = written(tmp_path / "demo.safetensors", demo)
    digest = hashlib.sha256(source.read_bytes()).hexdigest()
    vosfw.load(source.as_uri(), sha256=digest)
    source.unlink()
    vosfw.load(source.as_uri(), sha256=digest)
    (tmp_path / "cache" / "demo.safetensors").write_bytes(b"damaged")
    with pytest.raises(CheckpointError, match="could not fetch"):
        vosfw.load(source.as_uri(), sha256=digest)


@pytest.mark.parametrize("name", ["broken.safetensors", "broken.ckpt"])
def test_damaged_files(tmp_path, name):
    (tmp_path / name).write_bytes(b"no weights at all")
    with pytest.raises(CheckpointError, match=name):
        vosfw.load(tmp_path / name)


def test_files_that_are_not_ours(tmp_path):
    with pytest.raises(CheckpointError, match="no checkpoint at"):
        vosfw.load(tmp_path / "nothing.ckpt")
    torch.save({"layer.weight": torch.ones(1)}, tmp_path / "other.pth")
    with pytest.raises(CheckpointError, match="not written by vosfw"):
        vosfw.load(tmp_path / "other.pth")


class Evil:
    def __reduce__(self):
        import os

        return os.system, ("echo unsafe > evil",)


def test_nothing_in_a_file_is_run(tmp_path, demo, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"state_dict": {}, "vosfw": Evil()}, "evil.ckpt")
    with pytest.raises(CheckpointError, match="read safely"):
        vosfw.load("evil.ckpt")
    hub.save(tmp_path / "evil.safetensors", {}, "evil", {"_target_": "os.system", "command": "echo unsafe > evil"})
    with pytest.raises(CheckpointError, match=r"refused target 'os\.system'"):
        vosfw.load("evil.safetensors")
    assert not (tmp_path / "evil").exists()


def test_weights_of_another_composition_are_refused(tmp_path, demo):
    config, model = demo
    weights = dict(model.state_dict())
    weights["extra"] = weights.pop("key_proj.bias")
    weights["key_proj.weight"] = weights["key_proj.weight"][:3]
    hub.save(tmp_path / "other.safetensors", weights, "other", config.model)
    with pytest.raises(CheckpointError, match=r"1 missing: key_proj\.bias; 1 left over: extra; 1 of another shape"):
        vosfw.load(tmp_path / "other.safetensors")


def test_every_composition_is_listed_with_its_paper():
    cards = {card.name: card for card in vosfw.list_models()}
    assert cards["stcn"].parameters == sum(p.numel() for p in vosfw.load("stcn", weights=None).parameters())
    assert "NeurIPS 2021" in cards["stcn"].title
    assert cards["copy_first"].parameters == 0


def test_the_encoder_alone(demo):
    config, model = demo
    own = OmegaConf.to_container(config.model, resolve=True)
    torch.manual_seed(1)
    other = instantiate_model(config.model)
    stored = hub.Checkpoint(model.state_dict(), "demo", own, None)
    hub.load_encoder(other, stored, own)
    assert all(torch.equal(other.encoder.state_dict()[k], v) for k, v in model.encoder.state_dict().items())
    assert not torch.equal(other.key_proj.weight, model.key_proj.weight)


def test_encoders_that_do_not_fit(demo):
    config, model = demo
    own = OmegaConf.to_container(config.model, resolve=True)
    state, part = model.state_dict(), {"encoder": own["encoder"]}
    first = next(key for key in state if key.startswith("encoder."))
    swapped = {"encoder": {**own["encoder"], "bgr": True}}
    for weights, stored, match in (
        ({"x": torch.ones(1)}, part, "the checkpoint .* has no part called encoder"),
        ({**state, "encoder.more": torch.ones(1)}, part, "1 left over: encoder.more"),
        ({**state, first: torch.ones(1)}, part, "1 of another shape"),
        ({key: value for key, value in state.items() if key != first}, part, f"1 missing: {first}"),
        (state, swapped, "model.encoder.bgr: True, here not set"),
    ):
        with pytest.raises(CheckpointError, match=match):
            hub.load_encoder(model, hub.Checkpoint(weights, "some", stored, None), own)
    with pytest.raises(CheckpointError, match="this network has no part"):
        hub.load_encoder(vosfw.load("copy_first", weights=None), hub.Checkpoint(state, "some", own, None), {})


def test_counters_of_norms_are_free(demo):
    """Frozen norms count no batches: they can start norms that learn, and be started by them."""
    config, model = demo
    own = OmegaConf.to_container(config.model, resolve=True)
    counter = "encoder.norm.num_batches_tracked"
    hub.load_encoder(model, hub.Checkpoint({**model.state_dict(), counter: torch.tensor(1)}, "some", own, None), own)


def test_a_file_of_an_encoder_is_no_network(demo):
    _, model = demo
    part = hub.Checkpoint({}, "deeplab", {"encoder": {}}, None)
    for use in (lambda: hub.build(part), lambda: hub.load_weights(model, part)):
        with pytest.raises(CheckpointError, match="encoder_weights=FILE"):
            use()
