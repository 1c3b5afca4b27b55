"""Mapping templates render as API Gateway renders them."""

import json
from typing import Any

import pytest

from tests.aws_facts import facts
from tools.local.emulator import java, vtl


def render(template: str, body: object = None, context: dict[str, Any] | None = None, absent: str | None = "") -> str:
    text = body if isinstance(body, str) else json.dumps({} if body is None else body, ensure_ascii=False)
    headers = {"id": "in-header", "Idempotency-Key": "k"}
    payload = vtl.Input(text, {"id": "in-path"}, {"id": "in-query", "q": "x"}, headers)
    return vtl.render(template, payload, {} if context is None else context, {"table": "t1"}, absent)


@pytest.mark.parametrize("case", facts("mapping_templates")["rendered"], ids=lambda case: f"{case['payload']}")
def test_templates_render_as_aws_was_seen_to(case: dict[str, Any]) -> None:
    assert render(case["template"], case["payload"]) == case["text"]


@pytest.mark.parametrize(
    ("template", "on_api_gateway", "in_velocity"),
    [
        # A template that once worked only here, because a missing member was false.
        ("{#if($input.path('$.gone'))\"a\":$input.path('$.gone')#end}", '{"a":}', "{}"),
        ("{#if($input.path('$.none'))\"a\":$input.path('$.none')#end}", '{"a":}', "{}"),
        (
            "#set($ok = ['1'])#set($x = $input.path('$').gone.x)#if($x && !$ok.contains($x))refused#end",
            "refused",
            "",
        ),
        ("#if($operation_id)operation#{else}payment#end", "operation", "payment"),
        ("#set($x = 'a pattern')#set($x = $input.path('$.gone'))#if($x)used: $x#end", "used: ", "used: a pattern"),
        ("#if($gone.matches('x'))yes#{else}no#end", "yes", "no"),
        # The template that works everywhere.
        ("{#if(\"$!input.path('$.gone')\" != '')\"a\":$input.path('$.gone')#end}", "{}", "{}"),
        ("#set($operation = \"$!gone\")#if($operation != '')operation#{else}payment#end", "payment", "payment"),
        ("#set($x = \"$!gone\")#if($x.matches('x'))yes#{else}no#end", "no", "no"),
    ],
)
def test_what_is_not_there_is_an_empty_text_that_is_true_and_in_velocity_by_itself_null(
    template: str, on_api_gateway: str, in_velocity: str
) -> None:
    assert render(template, {"none": None}) == on_api_gateway
    assert render(template, {"none": None}, absent=None) == in_velocity


def test_velocity_by_itself_leaves_a_reference_to_nothing_as_it_is_written() -> None:
    assert render("$gone.further $!gone.further $input.params('gone')", absent=None) == (
        "$gone.further  $input.params('gone')"
    )


IDIOM = r"""{"input": "$util.escapeJavaScript($input.json('$')).replaceAll("\\'","'")"}"""


@pytest.mark.parametrize(
    "value",
    [
        "O'Brien",
        'say "hi"',
        "back\\slash",
        "\\'",
        "a/b",
        "line\nbreak\ttab\r\b\f",
        "\x00\x1f\x7f\x80",
        "\u2028\u2029",
        "😀 é 漢",
        "$context.requestId #set($x = 1) #end",
        '","name":"injected',
        "{{}}",
        "",
    ],
)
def test_the_documented_idiom_carries_any_text_into_a_json_string(value: str) -> None:
    rendered = render(IDIOM, {"card_holder": value})
    assert json.loads(json.loads(rendered)["input"]) == {"card_holder": value}


def test_the_idiom_without_its_replacement_is_not_json() -> None:
    with pytest.raises(ValueError, match="escape"):
        json.loads(render(r'''"$util.escapeJavaScript($input.json('$'))"''', {"name": "O'Brien"}))


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("'", "\\'"),
        ('"', '\\"'),
        ("\\", "\\\\"),
        ("/", "\\/"),
        ("\b\n\t\f\r", "\\b\\n\\t\\f\\r"),
        ("\x01", "\\u0001"),
        ("~\x7f", "~\x7f"),
        ("\x80é", "\\u0080\\u00E9"),
        ("\u2028", "\\u2028"),
        ("😀", "\\uD83D\\uDE00"),
        ("\ud800", "\\uD800"),
    ],
)
def test_javascript_escapes_are_those_of_commons_lang(text: str, escaped: str) -> None:
    assert java.escape_ecma_script(text) == escaped


@pytest.mark.parametrize(
    ("expression", "text"),
    [
        ("$input.json('$.l')", '[1,{"b":true}]'),
        ("$input.json('$.name')", '"é"'),
        ("$input.json('$.gone')", '""'),
        ("$input.json('$.none')", '""'),
        ("$input.path('$.l[1].b')", "true"),
        ("$input.path('$.l')", '[1,{"b":true}]'),
        ("$input.path('$')", '{name=é, l=[1,{"b":true}], none=null, n=1.5E7}'),
        ("$input.json('$.n')", "1.5E7"),
        ("[$input.path('$.gone')]", "[]"),
        ("$input.path('$')['name']", "é"),
        ("$input.path('$.l').size()", "2"),
        ("$input.json(\"$['name']\")", '"é"'),
    ],
)
def test_the_payload_is_read_by_json_path(expression: str, text: str) -> None:
    assert render(expression, {"name": "é", "l": [1, {"b": True}], "none": None, "n": 1.5e7}) == text


def test_a_loop_has_no_more_iterations_than_api_gateway_allows() -> None:
    template, most = "#foreach($each in $input.path('$.l'))$each#end", facts("mapping_templates")["foreach_iterations"]
    assert render(template, {"l": [1] * most}) == "1" * most
    with pytest.raises(vtl.TransformationError, match="1000 iterations"):
        render(template, {"l": [1] * (most + 1)})


@pytest.mark.parametrize(
    ("expression", "text"),
    [
        ("$input.params('id')", "in-path"),
        ("$input.params('q')", "x"),
        ("$input.params('Idempotency-Key')", "k"),
        ("[$input.params('gone')]", "[]"),
        ("[$input.params('idempotency-key')]", "[]"),
        ("$input.params().header.Idempotency-Key", "k"),
        ("[$input.params().header.idempotency-key]", "[]"),
        ("$input.params().querystring.get('id')", "in-query"),
        ("$stageVariables.table", "t1"),
        ("[$stageVariables.gone]", "[]"),
        ("$input.body", "{}"),
        ("#foreach($n in $input.params().path.keySet())$n#if($foreach.hasNext),#end#end", "id"),
    ],
)
def test_parameters_of_a_name_come_from_path_then_query_then_headers(expression: str, text: str) -> None:
    assert facts("mapping_templates")["parameters_are_searched_in"] == ["path", "querystring", "header"]
    assert facts("mapping_templates")["header_names_are_case_sensitive"]
    assert render(expression) == text


@pytest.mark.parametrize(
    ("expression", "text"),
    [
        (r"""$s.replaceAll("(\w+) (\w+)", "$2-$1")""", "b-Aa"),
        ("$s.matches('[a-zA-Z ]+')", "true"),
        ("$s.matches('[a-z]')", "false"),
        ("$s.contains('a b')", "true"),
        ("$s.startsWith('Aa')", "true"),
        ("$s.endsWith('#b')", "false"),
        ("$s.length()", "4"),
        ("$s.compareTo($s)", "0"),
        ("$s.compareTo('')", "4"),
        ("#set($a = 'ab')$a.compareTo('b') $a.compareTo('abc') $a.compareTo('B')", "-1 -1 31"),
        ("$s.substring(1, 3)", "a "),
        ("$s.indexOf('z')", "-1"),
        ("$s.toLowerCase()", "aa b"),
        ("$s.equals('Aa b')", "true"),
        ("$s.isEmpty()", "false"),
        ("$s.split(' ')", "[Aa, b]"),
        ("$s.concat('!').trim()", "Aa b!"),
        ("[$s.upper()]", "[]"),
        ("[$s.__class__]", "[]"),
    ],
)
def test_strings_have_javas_methods_and_not_pythons(expression: str, text: str) -> None:
    assert render(f"#set($s = 'Aa b'){expression}") == text


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("'x''y'", "x'y"),
        ('"x""y"', 'x"y'),
        (r'"a\nb"', r"a\nb"),
        ('"$t!"', "T!"),
        ("'$t!'", "$t!"),
        (r'"\u0041"', "A"),
        ('"^[a-z]{2,3}$"', "^[a-z]{2,3}$"),
    ],
)
def test_string_literals_keep_their_backslashes(template: str, text: str) -> None:
    assert render(f"#set($t = 'T')#set($x = {template})$x") == text


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        ("$gone", True),
        ("false", False),
        ("$input.path('$.no')", False),
        ("$input.path('$.zero')", True),
        ("$input.path('$.gone')", True),
        ("$input.path('$.gone') == ''", True),
        ("$input.path('$.gone') == $null", True),
        ("'a text'", False),
        ("'200' == 200", True),
        ("!$gone", False),
        ("!$input.path('$.no') && 'x' != 'y'", True),
        ("$input.path('$.no') || false", False),
        ("false && $input.path('$.zero').substring(9)", False),
        ("$context.gone.further", True),
    ],
)
def test_only_null_false_and_literals_are_false(condition: str, holds: bool) -> None:
    text = render(f"#if({condition})yes#{{else}}no#end", {"no": False, "zero": 0})
    assert text == ("yes" if holds else "no")


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("#foreach($i in [1, 2])#set($last = $i)#end$last", "2"),
        ("#set($i = 'before')#foreach($i in [1])#end$i", "before"),
        ("#foreach($v in {'a': 1})$v#end", "1"),
        ("#foreach($c in 'abc')$c#end#foreach($c in $gone)$c#end", ""),
    ],
)
def test_loops_go_over_values_and_leave_what_they_set(template: str, text: str) -> None:
    assert render(template) == text


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("$util.base64Encode('é')", "w6k="),
        ("$util.base64Decode('w6k=')", "é"),
        ("$util.urlEncode('a b&~*/')", "a+b%26%7E*%2F"),
        ("$util.urlDecode('a+b%26')", "a b&"),
        ("$util.parseJson('{\"a\":[1,2]}').a[1]", "2"),
    ],
)
def test_utilities(template: str, text: str) -> None:
    assert render(template) == text


def test_overrides_are_left_in_the_context() -> None:
    context = {"requestId": "r-1", "responseOverride": {"header": {}}}
    render(
        '#set($id = "abc")#set($context.responseOverride.status = 409)'
        '#set($context.responseOverride.header.Location = "/payments/$id/$context.requestId")',
        context=context,
    )
    assert context["responseOverride"] == {"status": 409, "header": {"Location": "/payments/abc/r-1"}}


@pytest.mark.parametrize(
    "template",
    [
        "#if(true)no end",
        "$input.path('$..x')",
        "$s.substring(9)",
        "#set($x = )",
        "#if($s == null)#end",
        "$util.base64Decode('!')",
    ],
)
def test_a_template_that_fails_is_a_transformation_error(template: str) -> None:
    with pytest.raises(vtl.TransformationError):
        render(f"#set($s = 'abc'){template}")


@pytest.mark.parametrize("body", ["not json", '{"a": NaN}', "[" * 100_000, '{"a":'])
def test_a_payload_that_is_not_json_is_told_apart_from_a_bad_template(body: str) -> None:
    with pytest.raises(vtl.BodyNotJson):
        render("$input.json('$')", body)


def test_of_duplicate_members_the_last_counts_and_an_empty_payload_is_an_empty_object() -> None:
    assert render("$input.json('$')", '{"a": 1, "a": 2}') == '{"a":2}'
    assert render("$input.json('$')", "") == "{}"
