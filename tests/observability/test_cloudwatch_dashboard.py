"""The dashboard and the alarms of examples/cloudwatch: CloudWatch's shapes, and metrics that there are."""

import importlib.util
import io
import itertools
import json
import re
from pathlib import Path

import boto3
import pytest
from botocore.session import Session
from botocore.validate import ParamValidator

from llama_bedrock import EMFMetrics
from llama_bedrock.observability.emf_metrics import UNITS

FOLDER = Path(__file__).resolve().parents[2] / "examples" / "cloudwatch"


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("cloudwatch_make", FOLDER / "make.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def made(script, tmp_path):
    """What the script writes with its defaults and one dimension."""
    script.main(["--dimension", "Service=search", "--output", str(tmp_path)])
    return [json.loads((tmp_path / name).read_text()) for name in ("dashboard.json", "alarms.json")]


@pytest.fixture
def published(scripted):
    """Namespace and dimension names → the metrics that EMFMetrics publishes for them."""
    stream = io.StringIO()
    metrics = EMFMetrics("Shop", {"Service": "search"}, stream=stream)
    llm, _ = scripted(["Ada."])
    llm.invoke("Who?", config={"callbacks": [metrics], "tags": ["help"]})
    directive = json.loads(stream.getvalue())["_aws"]["CloudWatchMetrics"][0]
    return directive["Namespace"], {frozenset(names) for names in directive["Dimensions"]}


def lines_of(dashboard):
    return list(itertools.chain(*(widget["properties"]["metrics"] for widget in dashboard["widgets"])))


def test_the_files_are_what_the_script_writes(made):
    assert made == [json.loads((FOLDER / name).read_text()) for name in ("dashboard.json", "alarms.json")]


def test_widgets_fit_the_grid_and_do_not_overlap(made):
    dashboard, _ = made
    taken = set()
    for widget in dashboard["widgets"]:
        assert set(widget) == {"type", "x", "y", "width", "height", "properties"}
        assert 0 <= widget["x"] <= 24 - widget["width"]
        assert 1 <= widget["height"] <= 1000
        columns = range(widget["x"], widget["x"] + widget["width"])
        cells = set(itertools.product(columns, range(widget["y"], widget["y"] + widget["height"])))
        assert not cells & taken
        taken |= cells
        assert re.fullmatch(r"[a-z]{2}-[a-z]+-\d", widget["properties"]["region"])
        assert widget["properties"]["period"] % 60 == 0


def test_every_line_shows_metrics_that_are_published(made, published):
    dashboard, _ = made
    namespace, sets = published
    for line in lines_of(dashboard):
        if len(line) == 1:
            searched = re.match(
                r"SEARCH\('\{([^}]*)\}.* MetricName=\"(\w+)\"', '(\w+)', (\d+)\)", line[0]["expression"]
            )
            if searched is None:
                assert line[0]["expression"] == "100 * errors / calls"
                continue
            found, *names = searched[1].split(",")
            assert (found, frozenset(names) in sets, searched[2] in UNITS) == (namespace, True, True)
        else:
            found, metric, *pairs, look = line
            assert (found, metric in UNITS, look["stat"]) == (namespace, True, look["stat"])
            assert frozenset(pairs[::2]) in sets


def test_alarms_have_the_shape_of_putmetricalarm_and_watch_what_is_published(made, published):
    _, alarms = made
    namespace, sets = published
    shape = Session().get_service_model("cloudwatch").operation_model("PutMetricAlarm").input_shape
    assert [alarm["AlarmName"].split(": ")[1] for alarm in alarms] == [
        "error rate",
        "throttles",
        "cost per hour",
    ]
    for alarm in alarms:
        assert not ParamValidator().validate(alarm, shape).generate_report()
        (result,) = [query for query in alarm["Metrics"] if query["ReturnData"]]
        used = set(re.findall(r"\b[a-z]\w*\b", result["Expression"]))
        queries = {query["Id"]: query["MetricStat"] for query in alarm["Metrics"] if "MetricStat" in query}
        assert used == set(queries)
        assert len({stat["Period"] for stat in queries.values()}) == 1
        for stat in queries.values():
            assert stat["Metric"]["Namespace"] == namespace
            assert stat["Metric"]["MetricName"] in UNITS
            assert frozenset(d["Name"] for d in stat["Metric"]["Dimensions"]) in sets


@pytest.mark.slow
def test_cloudwatch_takes_them(script, s3_endpoint, aws_credentials, monkeypatch, tmp_path):
    monkeypatch.setenv("AWS_ENDPOINT_URL_CLOUDWATCH", s3_endpoint)
    script.main(["--namespace", "Herd/Shop", "--output", str(tmp_path), "--apply", "--cost-per-hour", "2.5"])
    client = boto3.client("cloudwatch", region_name="us-east-2")
    body = json.loads(client.get_dashboard(DashboardName="Herd-Shop")["DashboardBody"])
    assert body == json.loads((tmp_path / "dashboard.json").read_text())
    kept = {alarm["AlarmName"]: alarm for alarm in client.describe_alarms()["MetricAlarms"]}
    assert kept["Herd/Shop: cost per hour"]["Threshold"] == 2.5
    assert len([name for name in kept if name.startswith("Herd/Shop: ")]) == 3


def test_a_dimension_without_a_value_is_refused(script, capsys):
    with pytest.raises(SystemExit):
        script.main(["--dimension", "Service"])
    assert "NAME=VALUE" in capsys.readouterr().err
