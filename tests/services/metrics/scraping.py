"""Reads metrics with the parsers of prometheus_client, strictly."""

from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_open
from prometheus_client.parser import text_string_to_metric_families as parse_plain


class Scraped:
    """What a server says: ``scraped(name, label=value)`` is the sum of the samples with these labels."""

    def __init__(self, response):
        assert response.code == 200, response
        text = response.body.decode()
        is_open = response["content-type"].startswith("application/openmetrics-text")
        self.families = list((parse_open if is_open else parse_plain)(text))
        self.samples = [sample for family in self.families for sample in family.samples]
        series = [(sample.name, tuple(sorted(sample.labels.items()))) for sample in self.samples]
        assert len(series) == len(set(series))
        assert text.count("# TYPE") == text.count("# HELP") == len(self.families)

    def __call__(self, name, **labels):
        found = [
            sample.value
            for sample in self.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        ]
        return sum(found)

    def __contains__(self, name):
        return any(sample.name == name for sample in self.samples)

    def counters(self):
        """Return what must never go back, by series."""
        kinds = {family.name: family.type for family in self.families}
        return {
            (sample.name, tuple(sorted(sample.labels.items()))): sample.value
            for family in self.families
            for sample in family.samples
            if kinds[family.name] in ("counter", "histogram")
        }


def scrape(server, path="/metrics", **options):
    return Scraped(server.ask(path, **options))
