"""Mapping templates render as API Gateway renders them."""

import json

import pytest

from local.emulator import java, vtl


def render(template: str, body: object = None, context: vtl.Record | None = None) -> str:
    text = body if isinstance(body, str) else json.dumps({} if body is None else body, ensure_ascii=False)
    headers = {"id": "in-header", "idempotency-key": "k"}
    payload = vtl.Input(text, {"id": "in-path"}, {"id": "in-query", "q": "x"}, headers)
    return vtl.render(template, payload, vtl.Record() if context is None else context, {"table": "t1"})


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
        ("$input.json('$.none')", "null"),
        ("$input.path('$.l[1].b')", "true"),
        ("$input.path('$.l')", "[1, {b=true}]"),
        ("[$input.path('$.gone')]", "[]"),
        ("$input.path('$')['name']", "é"),
        ("$input.path('$.l').size()", "2"),
        ("$input.json(\"$['name']\")", '"é"'),
    ],
)
def test_the_payload_is_read_by_json_path(expression: str, text: str) -> None:
    assert render(expression, {"name": "é", "l": [1, {"b": True}], "none": None}) == text


@pytest.mark.parametrize(
    ("expression", "text"),
    [
        ("$input.params('id')", "in-path"),
        ("$input.params('q')", "x"),
        ("$input.params('Idempotency-Key')", "k"),
        ("[$input.params('gone')]", "[]"),
        ("$input.params().header.Idempotency-Key", "k"),
        ("$input.params().querystring.get('id')", "in-query"),
        ("$stageVariables.table", "t1"),
        ("[$stageVariables.gone]", "[]"),
        ("$input.body", "{}"),
        ("#foreach($n in $input.params().path.keySet())$n#if($foreach.hasNext),#end#end", "id"),
    ],
)
def test_parameters_come_from_path_then_query_then_headers(expression: str, text: str) -> None:
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
        ("$s.substring(1, 3)", "a "),
        ("$s.indexOf('z')", "-1"),
        ("$s.toLowerCase()", "aa b"),
        ("$s.equals('Aa b')", "true"),
        ("$s.isEmpty()", "false"),
        ("$s.split(' ')", "[Aa, b]"),
        ("$s.concat('!').trim()", "Aa b!"),
        ("$s.upper()", "$s.upper()"),
        ("$s.__class__", "$s.__class__"),
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
        ("$gone", False),
        ("false", False),
        ("''", True),
        ("0", True),
        ("$input.path('$.gone')", False),
        ("$input.path('$.gone') == ''", True),
        ("'200' == 200", True),
        ("!$gone && 'x' != 'y'", True),
        ("$gone || false", False),
        ("$context.gone.further", False),
    ],
)
def test_only_null_false_and_what_is_not_there_are_false(condition: str, holds: bool) -> None:
    assert render(f"#if({condition})yes#{{else}}no#end") == ("yes" if holds else "no")


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
    context = vtl.Record({"requestId": "r-1", "responseOverride": vtl.Record({"header": vtl.Record()})})
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
