"""The demo's pipeline file is one that the project itself accepts."""

from pathlib import Path

from etlplus.pipeline.document import decode

DEMO = Path(__file__).parents[2] / "config" / "demo" / "flights.yaml"


def test_the_demo_pipeline_is_a_valid_document() -> None:
    """The file decodes; its first sink is the table of flights, fed by the validated rows."""
    plan = decode(DEMO.read_text(encoding="utf-8"), file=DEMO.name)
    assert (plan.sinks[0].id, plan.sinks[0].input) == ("flights", "valid")
