"""The emulator renders like Velocity: the API's templates, and every construct that templates can use."""

import json

import pytest

from tests.aws_facts import facts
from tests.mapping_templates import READINGS, STARTS, Message, answering, answers, events, hostile, started, starting
from tests.velocity.conftest import Job, Rendered, Velocity
from tools.local.emulator import vtl

SPOKEN = [
    *("$gone", "[$!gone]", "[${gone}]", "$gone.further.still", "$!gone.further()", "$input.path('$.gone').x"),
    *("#set($x = 'old')#set($x = $gone)$x", "#set($x = 'old')#set($x = $input.path('$.none'))$x"),
    *("#if($gone)a#{else}b#end", "#if(!$gone)a#{else}b#end", "#if($gone == $null)a#{else}b#end"),
    *("#if($gone == '')a#{else}b#end", "#if(\"$!gone\" != '')a#{else}b#end", "#if($input.path('$.none'))a#end"),
    *("#if($input.params('Id'))a#{else}b#end", "$input.params('id')", "$input.params('ID')", "$input.params('q')"),
    *("$input.params().header.Id", "$input.params().header.get('id')", "$input.params().path.id", "$input.body"),
    *("#if($context.gone)a#{else}b#end", "#if($context.gone.further)a#end", "[$stageVariables.gone]"),
    *(
        "#if(false)a#elseif(0)b#end",
        "#if('a')a#end",
        "#if(!'a')a#end",
        "#if('a' && true)a#{else}b#end",
        "#if(\"$input.path('$.s')\")a#end",
        "#if($input.path('$.no'))a#{else}b#end",
        "#if(!true)a#{else}b#end",
    ),
    *("#if('200' == 200)a#end", "#if(1 == 1)a#end", "#if($gone && $gone.x())a#{else}b#end", "#if(true || $x.y())a#end"),
    *("#if('a' != 'b' && 'a' == 'a')a#end", "#if(true == true != false)a#end", "#if(!($a && $b) || $c)a#end"),
    *("#if($x == null)a#end", "#if(true)a", "#set($x = )", "#if($a == 'b' or true)a#end", "#if(not false)a#end"),
    *("$input.path('$')", "$input.path('$.l')", "$input.path('$.n')", "$input.json('$')", "$input.json('$.gone')"),
    *("$input.path('$.l').size()", "$input.path('$.l').contains(1)", "$input.path('$.l').contains('1')"),
    *("$input.path('$.l').get(0)", "$input.path('$').none", "$input.path('$').o.a", "$input.path('$').s.a.b"),
    *("$input.path('$.s').upper()", "$input.path('$.n').toString()", "$input.path('$.n').matches('1')"),
    *("$input.path('$.s').matches('[a-z]+')", "$input.path('$.s').endsWith('t')", "$input.path('$.s').toUpperCase()"),
    *("#foreach($i in [1,2,3])$i#if($foreach.hasNext),#end#end", "#foreach($i in [1..3])#set($z = $i)#end$z"),
    *("#foreach($i in $gone)$i#end", "#foreach($c in 'abc')$c#end", "#foreach($v in {'a': 1})$v#end[$!v]"),
    *("#foreach($i in [1,2])\n#set($z = $i)\n$i\n#end\nend $z", "#set($i = 9)#foreach($i in [1])$i#end$i"),
    *("#foreach($k in $input.params().header.keySet())$k#end", "#foreach($i in [1,2])$foreach.count$foreach.index#end"),
    *("#set($x = {'a': 1})$x.a", "#set($x = [1, 'b'])$x", "#set($x = \"$input.path('$.s')!\")$x", "#set($x = '$s')$x"),
    *("#set($x = 'a''b')$x", '#set($x = "a""b")$x', r"#set($x = 'a\nb')$x", r'#set($x = "\\")$x', "#set($x = 1 + 2)$x"),
    *("a ## comment\nb", "## comment\n{\n  $input.path('$.n')\n}\n", "#* block *#x", "#set($x = 1)\n  x\n"),
    *(
        "{\n#if(true)\n  a\n#else\n  b\n#end\n}\n",
        "{\n#if(false)\n  a\n#elseif(true)\n  b\n#end}\n",
        "  #if(true) a #end  \nb",
    ),
    *("$5 #1 # $ {} #abc", "\\\"$input.path('$.s')\\\"", r'$util.escapeJavaScript("a/b' '")', "$a$b$!c"),
    r"""$util.escapeJavaScript($input.json('$')).replaceAll("\\'", "'")""",
    "#set($context.responseOverride.status = 409)$!context.responseOverride.status",
    "#set($context.responseOverride.header.Location = \"/$input.path('$.s')\")",
    "{\n#if(false)\n  a\n#else\n  b\n#end\n}\n#if(false)a#{else}  \n  b#end",
]
MESSAGE = Message(
    json.dumps(
        {
            "s": "text",
            "n": 1,
            "no": False,
            "none": None,
            "l": [1, {"a": [None, True, 1.5e7, "'\"\\/é"]}],
            "o": {"a": {"b": None}},
        }
    ),
    {"id": "in a header"},
    {"id": "in the path"},
    {"id": "in the query string", "q": "only there"},
)


def emulated(job: Job) -> Rendered:
    try:
        return Rendered(*job.message.rendered(job.template, job.absent))
    except (vtl.TransformationError, vtl.BodyNotJson):
        return Rendered(None, None)


def assert_same(velocity: Velocity, jobs: list[Job]) -> list[Rendered]:
    """Velocity's results for the jobs, which must equal the emulator's."""
    rendered = [velocity(job) for job in jobs]
    assert [(job, emulated(job), each) for job, each in zip(jobs, rendered, strict=True) if emulated(job) != each] == []
    return rendered


def test_templates_render_alike_whether_an_undefined_reference_is_empty_or_null(velocity: Velocity) -> None:
    messages = {starting(route): [*events(), *hostile()] for route in STARTS}
    messages |= {answering(route, end): list(answers()) for route in STARTS for end in (started(route), "refused")}
    pairs = [(template, message) for template, sent in messages.items() for message in sent]
    rendered = assert_same(velocity, [Job(*pair, absent) for absent in READINGS for pair in pairs])
    assert rendered[: len(pairs)] == rendered[len(pairs) :]
    assert {each.text is None for each in rendered} == {True, False}


@pytest.mark.parametrize("absent", READINGS)
def test_every_construct_renders_alike(velocity: Velocity, absent: str | None) -> None:
    assert_same(velocity, [Job(template, MESSAGE, absent) for template in SPOKEN])


def test_velocity_renders_as_aws_was_seen_to(velocity: Velocity) -> None:
    cases = facts("mapping_templates")["rendered"]
    rendered = [velocity(Job(each["template"], Message(json.dumps(each["payload"])))).text for each in cases]
    assert rendered == [each["text"] for each in cases]
