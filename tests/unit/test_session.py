import pytest
import torch
from doubles import DOUBLES, ClipDouble, KeyDouble
from scenes import ToyVideo

from vosfw.engine.augment import Augment
from vosfw.engine.engine import Engine
from vosfw.engine.policy import IntervalPolicy
from vosfw.errors import CheckpointError
from vosfw.hub import load, save
from vosfw.predictor import Predictor
from vosfw.session import FORMAT, read_session, write_session
from vosfw.types import ObjectMasks


def feed(predictor, video, frames):
    """Labels by frame; objects 7 and 9 from the start, 4 from frame 5; 9 is removed before frame 6."""
    found = {}
    for t in frames:
        labels = video.labels[t].numpy()
        if t == 0:
            predictor.add_object(labels == 1, id=7)
            predictor.add_object(labels == 2, id=9)
        if t == 5:
            predictor.add_object(labels == 2, id=4)
        if t == 6:
            predictor.remove_object(9)
        for result in predictor.step(video.frame(t)):
            found[result.index] = result
    return found


def compare(one, two):
    assert one.keys() == two.keys()
    for t, result in one.items():
        assert result.ids == two[t].ids
        assert torch.equal(result.scores, two[t].scores)


@pytest.fixture
def video():
    return ToyVideo(frames=10)


@pytest.mark.parametrize("stop", [0, 1, 4, 5, 6, 8])
@pytest.mark.parametrize("name", [*DOUBLES, "demo"])
def test_a_session_goes_on_as_if_there_had_been_no_break(name, stop, video, tmp_path):
    torch.manual_seed(0)
    model = DOUBLES[name]() if name in DOUBLES else load(name, weights=None)
    whole = Predictor(model, "cpu")
    wanted = feed(whole, video, range(10)) | {r.index: r for r in whole.flush()}
    first = Predictor(model, "cpu")
    found = feed(first, video, range(stop))
    first.save(tmp_path / "session.pt")
    second = Predictor.load(tmp_path / "session.pt", model, "cpu")
    assert second.ids == first.ids
    found |= feed(second, video, range(stop, 10)) | {r.index: r for r in second.flush()}
    compare(wanted, found)


def test_masks_that_wait_for_their_frame_are_kept(video, tmp_path):
    one, two = Predictor(DOUBLES["key"](), "cpu"), Predictor(DOUBLES["key"](), "cpu")
    for predictor in (one, two):
        predictor.add_object(video.labels[0].numpy() == 1, id=3)
    one.save(tmp_path / "s.pt")
    loaded = Predictor.load(tmp_path / "s.pt", two.model, "cpu")
    assert (loaded.step(video.frame(0))[0].labels == two.step(video.frame(0))[0].labels).all()


def test_the_engine_comes_back(tmp_path):
    engine = Engine(IntervalPolicy(3, recent=True), short_side=32, augment=Augment(flip=True))
    Predictor(ClipDouble(), "cpu", engine=engine).save(tmp_path / "s.pt")
    found = Predictor.load(tmp_path / "s.pt", ClipDouble(), "cpu").engine
    assert (found.policy.every, found.policy.recent, found.short_side) == (3, True, 32)
    assert vars(found.augment) == vars(engine.augment)


def test_options_that_an_old_file_does_not_know(tmp_path, video):
    first = Predictor(KeyDouble(), "cpu", engine=Engine(short_side=24))
    feed(first, video, range(2))
    del first.engine.letterbox, first.engine.mask_resize
    first.save(tmp_path / "s.pt")
    loaded = Predictor.load(tmp_path / "s.pt", KeyDouble(), "cpu")
    assert (loaded.engine.letterbox, loaded.engine.mask_resize, loaded.engine.short_side) == (None, "nearest", 24)
    assert loaded.step(video.frame(2))


def test_the_network_comes_along(video, tmp_path):
    from vosfw.config import compose, instantiate_model

    config = compose(["model=demo"])
    torch.manual_seed(1)
    save(
        tmp_path / "demo.safetensors", instantiate_model(config.model).state_dict(), "demo", config.model, config.engine
    )
    first = Predictor(load(tmp_path / "demo.safetensors"), "cpu")
    feed(first, video, range(3))
    first.save(tmp_path / "with.pt")
    first.save(tmp_path / "without.pt", weights=False)
    wanted = feed(first, video, range(3, 5))
    compare(wanted, feed(Predictor.load(tmp_path / "with.pt", device="cpu"), video, range(3, 5)))
    with pytest.raises(CheckpointError, match="holds no network"):
        Predictor.load(tmp_path / "without.pt")


def test_damaged_and_foreign_files(tmp_path):
    with pytest.raises(CheckpointError, match="no session at"):
        read_session(tmp_path / "no.pt")
    (tmp_path / "bad.pt").write_bytes(b"PK nothing")
    with pytest.raises(CheckpointError, match="can be read"):
        read_session(tmp_path / "bad.pt")
    torch.save({"weights": 1}, tmp_path / "other.pt")
    with pytest.raises(CheckpointError, match="no session of this version"):
        read_session(tmp_path / "other.pt")


@pytest.mark.parametrize(
    "node",
    [
        {"type": "os.system", "fields": ["true"]},
        {"type": "vosfw.hub.os.system", "fields": ["true"]},
        {"type": "vosfw.predictor.Predictor", "fields": []},
        {"type": "vosfw.predictor.Predictor", "attributes": {}},
        {"type": "vosfw.engine.engine.torch.nn.Linear", "attributes": {}},
    ],
)
def test_a_session_builds_nothing_but_its_own_types(node, tmp_path):
    torch.save({"vosfw_session": FORMAT, "content": {"mapping": {"x": node}}}, tmp_path / "s.pt")
    with pytest.raises(CheckpointError, match="refused the type"):
        read_session(tmp_path / "s.pt")


def test_types_come_back_and_views_do_not_bring_their_storage(tmp_path):
    masks = ObjectMasks.from_labels(torch.ones(1, 4, 4, dtype=torch.uint8), torch.ones(1, 1, dtype=torch.bool))
    wide = torch.zeros(1000, 1000)
    write_session(tmp_path / "s.pt", {"masks": masks, "view": wide[:2, :2], "text": "a", "none": None})
    found = read_session(tmp_path / "s.pt")
    assert isinstance(found["masks"], ObjectMasks) and torch.equal(found["masks"].probs, masks.probs)
    assert (tmp_path / "s.pt").stat().st_size < 100_000
    with pytest.raises(TypeError, match="cannot hold a set"):
        write_session(tmp_path / "s.pt", {"x": {1}})
