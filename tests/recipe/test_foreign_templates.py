"""Templates of strangers that reach more than the values of a sample are told by their syntax."""

from __future__ import annotations

import pytest

from mergekit_cycleqd.recipe.foreign_templates import template_code


@pytest.mark.parametrize(
    "text",
    [
        "{{ cycler['_' ~ '_init_' ~ '_'] }}",
        "{% set i = '_' ~ '_init_' ~ '_' %}{{ x[i] }}",
        "{% for k in ['_' + '_class_'] %}{{ x[k] }}{% endfor %}",
        "{% for a in [1] %}{{ loop['_' ~ 'x'] }}{% endfor %}",
        "{% for a in [1] %}{% set l = loop %}{{ l }}{% endfor %}",
        "{{ x[['_', '_class_']|join] }}",
        "{{ x|join(',', attribute='__class__') }}",
        "{{ x|map(attribute='y')|list }}",
        "{{ x._y }}",
        "{{ x['_y'] }}",
        "{{ lipsum }}",
        "{{ self }}",
        "{% set u %}__class__{% endset %}{{ x[u] }}",
        "{% macro a() %}{% endmacro %}",
        "{% include 'x' %}",
        "{{ 'a' * n }}",
        "{{ [1] * n }}",
        "{{ 9 ** n }}",
        "{{ '%99999d' % n }}",
        "{{ x|center(n) }}",
    ],
)
def test_what_may_reach_objects_or_grow_without_end_is_told(text: str) -> None:
    assert template_code(text)


@pytest.mark.parametrize(
    "text",
    [
        "{{question}}\nAnswer:",
        "{{choices[answer]}} {{ choices[answer|int] }} {{ x[-1] }} {{ x[1:] }} {{ x['text'][0] }}",
        "{% for c in choices %}{{loop.index}}. {{c}}{% endfor %}",
        "{{ choices|join(', ') }} {{ passage|trim|replace('a', 'b')|regex_replace('c', 'd') }}",
        "{{ ['A', 'B'][gold] }} {% set o = ['A', 'B'] %}{{ o[i] }} {{ x[i + 1] }}",
        "{{ 'yes' if a == 1 else 'no' }} {{ q ~ ' ' ~ a }} {{ (a * 100)|round }}",
    ],
)
def test_what_tasks_usually_have_is_not(text: str) -> None:
    assert template_code(text) is None
