"""The OpenAPI document and its pages: valid, complete and loading nothing from elsewhere."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from typing import Any

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from tests.api.conftest import Client, submit

#: DESIGN section 7, as far as it is built.
ROUTES = [
    ("post", "/v1/jobs"),
    ("get", "/v1/jobs"),
    ("get", "/v1/jobs/{job_id}"),
    ("delete", "/v1/jobs/{job_id}"),
    ("get", "/v1/jobs/{job_id}/result"),
    ("get", "/v1/jobs/{job_id}/mask"),
    ("post", "/v1/jobs/{job_id}/cancel"),
    ("post", "/v1/uploads"),
    ("get", "/v1/webhooks/deliveries"),
    ("get", "/v1/webhooks/deliveries/{delivery_id}"),
    ("post", "/v1/webhooks/deliveries/{delivery_id}/replay"),
    ("get", "/v1/models"),
    ("get", "/health/live"),
    ("get", "/health/ready"),
    ("get", "/metrics"),
    ("post", "/background-removal/remove"),
]
#: Calls of load balancers and Prometheus: they need no key and are never refused.
_OPEN = ("/health", "/metrics")
_METHODS = {"get", "post", "put", "delete", "patch"}
_LINK = re.compile(rb"""(?:src|href|url)\s*[=:]\s*["']?([^"'\s>]+)""", re.IGNORECASE)


@pytest.fixture
def document(client: Client) -> dict[str, Any]:
    response = client.get("/openapi.json")
    assert response.status_code == 200
    document: dict[str, Any] = response.json
    return document


def operations(document: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    return [
        (method, path, operation)
        for path, item in document["paths"].items()
        for method, operation in item.items()
        if method in _METHODS
    ]


class TestDocument:
    def test_it_is_openapi_3_1(self, document: dict[str, Any]) -> None:
        assert document["openapi"].startswith("3.1")
        OpenAPIV31SpecValidator(document).validate()

    def test_the_document_has_exactly_the_designed_routes(self, document: dict[str, Any]) -> None:
        found = {(method, path) for method, path, _ in operations(document)}
        assert found == set(ROUTES)

    def test_every_route_of_the_app_is_documented(
        self, client: Client, document: dict[str, Any]
    ) -> None:
        pages = ("swagger.", "redoc.", "static", "docs", "openapi", "home", "upload_content.")
        served = {
            re.sub(r"<(\w+)>", r"{\1}", rule.rule)
            for rule in client.application.url_map.iter_rules()
            if not rule.endpoint.startswith(pages)
        }
        assert served == set(document["paths"])

    def test_every_call_has_a_summary_and_a_tag(self, document: dict[str, Any]) -> None:
        for method, path, operation in operations(document):
            assert operation.get("summary"), f"{method} {path}"
            assert operation.get("tags"), f"{method} {path}"

    def test_every_call_except_the_public_ones_requires_a_key(
        self, document: dict[str, Any]
    ) -> None:
        for method, path, operation in operations(document):
            wanted = set() if path.startswith(_OPEN) else {"key", "bearer"}
            named = {name for way in operation.get("security", []) for name in way}
            assert named == wanted, f"{method} {path}"

    def test_every_failure_is_a_problem(self, document: dict[str, Any]) -> None:
        for method, path, operation in operations(document):
            if path.startswith(_OPEN):
                continue
            failures = {
                status: answer
                for status, answer in operation["responses"].items()
                if status >= "400"
            }
            assert {"401", "503"} <= set(failures), f"{method} {path}"
            for status, answer in failures.items():
                assert answer["content"] == {
                    "application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}
                }, f"{method} {path} {status}"

    def test_every_answer_has_a_description(self, document: dict[str, Any]) -> None:
        for _, _, operation in operations(document):
            assert all(answer.get("description") for answer in operation["responses"].values())

    def test_the_problem_is_described(self, document: dict[str, Any]) -> None:
        problem = document["components"]["schemas"]["Problem"]
        assert set(problem["properties"]) == {
            *("type", "title", "status", "detail", "code", "request_id", "errors")
        }

    def test_a_submission_may_be_multipart_or_json(self, document: dict[str, Any]) -> None:
        content = document["paths"]["/v1/jobs"]["post"]["requestBody"]["content"]
        assert set(content) == {"multipart/form-data", "application/json"}
        reference = content["application/json"]["schema"]["$ref"]
        assert reference == "#/components/schemas/JobRequest"

    def test_the_schema_of_a_job_forbids_unknown_fields(self, document: dict[str, Any]) -> None:
        schemas = document["components"]["schemas"]
        assert schemas["JobRequest"]["additionalProperties"] is False
        assert set(schemas["JobRequest"]["properties"]) == {
            *("url", "upload", "job", "render", "model", "prompt", "output", "webhook"),
            *("objects", "priority", "metadata"),
        }

    def test_the_response_schema_matches_the_actual_response(
        self, client: Client, sample: bytes, document: dict[str, Any]
    ) -> None:
        described = document["components"]["schemas"]["JobView"]
        answered = submit(client, sample).json
        assert set(described["properties"]) == set(answered)
        assert set(described["required"]) == set(answered)

    def test_the_supported_headers_are_described(self, document: dict[str, Any]) -> None:
        parameters = document["paths"]["/v1/jobs"]["post"]["parameters"]
        headers = {item["name"] for item in parameters if item["in"] == "header"}
        assert headers == {"Idempotency-Key", "Prefer"}

    def test_the_waits_bounds_are_described(self, document: dict[str, Any]) -> None:
        parameters = document["paths"]["/v1/jobs/{job_id}"]["get"]["parameters"]
        (wait,) = [item for item in parameters if item["name"] == "wait"]
        assert (wait["schema"]["minimum"], wait["schema"]["maximum"]) == (0, 60)


def without_descriptions(schemas: Any) -> Any:
    """The document without the `description` of any schema or field."""
    if isinstance(schemas, list):
        return [without_descriptions(item) for item in schemas]
    if not isinstance(schemas, dict):
        return schemas
    return {
        name: without_descriptions(value)
        for name, value in schemas.items()
        if not (name == "description" and isinstance(value, str))
    }


def test_the_document_is_served_without_docstrings(document: dict[str, Any]) -> None:
    """Under `python -OO` only the descriptions of models are missing, which are docstrings."""
    probe = (
        "from api.app import create_app; from shared.settings import ApiSettings; "
        "response = create_app(ApiSettings()).test_client().get('/openapi.json'); "
        "print(create_app.__doc__, response.status_code, response.text)"
    )
    shown = subprocess.run(
        [sys.executable, "-OO", "-c", probe], capture_output=True, text=True, check=True
    )
    docstring, status, text = shown.stdout.split(maxsplit=2)
    assert (docstring, status) == ("None", "200")
    served = json.loads(text)
    assert served["paths"] == document["paths"]
    assert without_descriptions(served["components"]) == without_descriptions(
        document["components"]
    )


class TestPages:
    @pytest.mark.parametrize("path", ["/docs", "/redoc"])
    def test_the_pages_are_served(self, client: Client, path: str) -> None:
        response = client.get(path)
        assert response.status_code == 200
        assert response.content_type.startswith("text/html")
        assert b"openapi.json" in response.data

    @pytest.mark.parametrize("path", ["/docs", "/redoc"])
    def test_the_pages_load_nothing_from_other_hosts(self, client: Client, path: str) -> None:
        page = re.sub(rb"<!--.*?-->", b"", client.get(path).data, flags=re.DOTALL)
        links = [link.decode() for link in _LINK.findall(page)]
        assert links
        foreign = [link for link in links if link.startswith(("http:", "https:", "//"))]
        assert foreign == []
        for link in links:
            if link.endswith((".js", ".css", ".svg")):
                with client.get(link) as file:
                    assert file.status_code == 200, link

    def test_the_root_path_redirects_to_the_docs(self, client: Client) -> None:
        response = client.get("/")
        assert response.status_code == 302
        assert response.headers["Location"] == "/docs"
