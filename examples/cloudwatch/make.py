"""A CloudWatch dashboard and three alarms for the metrics of `EMFMetrics`.

    python examples/cloudwatch/make.py --namespace Shop --dimension Service=search

writes dashboard.json (for `put-dashboard --dashboard-body`) and alarms.json (a list of arguments of
PutMetricAlarm) into this folder; --apply also puts them into the account of the environment's credentials.
Without --notify ARN the alarms are only seen in CloudWatch: nobody is told.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
HOUR, MINUTE = 3600, 60


class Metrics:
    """Names the metrics of a namespace.

    Args:
        namespace: As given to `EMFMetrics`.
        dimensions: The fixed ones, as given to `EMFMetrics`.
        region: Region of the dashboard's widgets.
    """

    def __init__(self, namespace: str, dimensions: dict[str, str], region: str) -> None:
        self.namespace = namespace
        self.dimensions = dimensions
        self.region = region

    def total(self, name: str, stat: str = "Sum", **look: Any) -> list[Any]:
        """A line of a widget: all calls together."""
        pairs = [part for pair in self.dimensions.items() for part in pair]
        return [self.namespace, name, *pairs, {"stat": stat, **look}]

    def by(self, name: str, *keys: str, stat: str = "Sum", period: int = 300) -> list[Any]:
        """A line of a widget for each model, or each model and tag."""
        names = ",".join([self.namespace, *self.dimensions, *keys])
        fixed = "".join(f' "{key}"="{value}"' for key, value in self.dimensions.items())
        search = f"SEARCH('{{{names}}}{fixed} MetricName=\"{name}\"', '{stat}', {period})"
        return [{"expression": search, "id": f"all{name.lower()}", "label": ""}]

    def stat(self, name: str, period: int, identifier: str) -> dict[str, Any]:
        """A query of an alarm: all calls together."""
        pairs = [{"Name": key, "Value": value} for key, value in self.dimensions.items()]
        metric = {"Namespace": self.namespace, "MetricName": name, "Dimensions": pairs}
        return {
            "Id": identifier,
            "MetricStat": {"Metric": metric, "Period": period, "Stat": "Sum"},
            "ReturnData": False,
        }


def dashboard(metrics: Metrics) -> dict[str, Any]:
    """The body of PutDashboard."""
    m = metrics
    rate = {"expression": "100 * errors / calls", "label": "error rate, %", "id": "rate"}
    counted = [
        m.total("Errors", id="errors", visible=False),
        m.total("Calls", id="calls", visible=False),
    ]
    charts = [
        ("Calls by model", [m.by("Calls", "ModelId")]),
        ("Error rate", [[rate], *counted]),
        ("Retries, throttles, fallbacks", [m.total(n) for n in ("Retries", "Throttles", "Fallbacks")]),
        ("Cost by model, USD an hour", [m.by("Cost", "ModelId", period=HOUR)]),
        ("Cost by feature, USD an hour", [m.by("Cost", "ModelId", "Tag", period=HOUR)]),
        ("Hits of the cache", [m.total("CacheHits"), m.total("Calls")]),
        (
            "Time to the first token, ms",
            [m.total("TimeToFirstToken", "p50"), m.total("TimeToFirstToken", "p95")],
        ),
        ("Latency, ms", [m.total("Latency", "p50"), m.total("Latency", "p95")]),
        ("Tokens", [m.total("InputTokens"), m.total("OutputTokens")]),
        ("Share of grounded statements", [m.total("GroundedFraction", "Average")]),
        ("No-answer rate", [m.total("NoAnswer", "Average")]),
        ("Answers", [m.total("Answers"), m.total("NoAnswer")]),
    ]
    widgets = [
        {
            "type": "metric",
            "x": 8 * (n % 3),
            "y": 6 * (n // 3),
            "width": 8,
            "height": 6,
            "properties": {
                "title": title,
                "metrics": lines,
                "view": "timeSeries",
                "stacked": False,
                "region": metrics.region,
                "period": HOUR if "hour" in title else 300,
            },
        }
        for n, (title, lines) in enumerate(charts)
    ]
    return {"widgets": widgets}


def alarms(
    metrics: Metrics, *, error_percent: float, throttles: float, cost_per_hour: float
) -> list[dict[str, Any]]:
    """Arguments of PutMetricAlarm: error rate and throttles over five minutes, cost over an hour."""
    name = f"{metrics.namespace} {' '.join(metrics.dimensions.values())}".strip()
    common = {
        "ComparisonOperator": "GreaterThanThreshold",
        "TreatMissingData": "notBreaching",
        "ActionsEnabled": True,
    }

    def expression(text: str, label: str) -> dict[str, Any]:
        return {"Id": "result", "Expression": text, "Label": label, "ReturnData": True}

    five = 5 * MINUTE
    return [
        {
            "AlarmName": f"{name}: error rate",
            "AlarmDescription": "Percent of the calls that failed, of at least ten in five minutes.",
            "Metrics": [
                expression("IF(calls >= 10, 100 * errors / calls, 0)", "error rate, %"),
                metrics.stat("Errors", five, "errors"),
                metrics.stat("Calls", five, "calls"),
            ],
            "Threshold": error_percent,
            "EvaluationPeriods": 3,
            "DatapointsToAlarm": 2,
            **common,
        },
        {
            "AlarmName": f"{name}: throttles",
            "AlarmDescription": "Attempts that Bedrock throttled in five minutes, retried ones included.",
            "Metrics": [
                expression("FILL(throttles, 0)", "throttles"),
                metrics.stat("Throttles", five, "throttles"),
            ],
            "Threshold": throttles,
            "EvaluationPeriods": 3,
            "DatapointsToAlarm": 2,
            **common,
        },
        {
            "AlarmName": f"{name}: cost per hour",
            "AlarmDescription": "USD of the last hour, of the calls whose price is known.",
            "Metrics": [expression("FILL(cost, 0)", "USD an hour"), metrics.stat("Cost", HOUR, "cost")],
            "Threshold": cost_per_hour,
            "EvaluationPeriods": 1,
            "DatapointsToAlarm": 1,
            **common,
        },
    ]


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--namespace", default="Shop", help="as given to EMFMetrics")
    parser.add_argument("--dimension", action="append", default=[], metavar="NAME=VALUE", help="a fixed one")
    parser.add_argument("--region", default="us-east-2")
    parser.add_argument("--error-percent", type=float, default=5)
    parser.add_argument("--throttles", type=float, default=10, help="in five minutes")
    parser.add_argument("--cost-per-hour", type=float, default=5, help="USD")
    parser.add_argument("--notify", action="append", metavar="ARN", help="whom the alarms tell: an SNS topic")
    parser.add_argument("--output", type=Path, default=HERE)
    parser.add_argument("--apply", action="store_true", help="put them into the account")
    given = parser.parse_args(arguments)
    if wrong := [pair for pair in given.dimension if "=" not in pair]:
        parser.error(f"--dimension {wrong[0]}: give NAME=VALUE")
    metrics = Metrics(given.namespace, dict(pair.split("=", 1) for pair in given.dimension), given.region)
    body = dashboard(metrics)
    made = alarms(
        metrics,
        error_percent=given.error_percent,
        throttles=given.throttles,
        cost_per_hour=given.cost_per_hour,
    )
    if given.notify:
        made = [{**alarm, "AlarmActions": given.notify} for alarm in made]
    given.output.mkdir(parents=True, exist_ok=True)
    for name, value in (("dashboard.json", body), ("alarms.json", made)):
        (given.output / name).write_text(json.dumps(value, indent=1) + "\n")
    if given.apply:
        import boto3

        client = boto3.client("cloudwatch", region_name=given.region)
        client.put_dashboard(DashboardName=given.namespace.replace("/", "-"), DashboardBody=json.dumps(body))
        for alarm in made:
            client.put_metric_alarm(**alarm)
    print(f"{len(body['widgets'])} widgets, {len(made)} alarms: {given.output}")


if __name__ == "__main__":
    main()
