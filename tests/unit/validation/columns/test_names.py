"""Column names that Druid can load, and a warning for each changed one."""

from hypothesis import given
from hypothesis import strategies as st

from services.validation.columns.names import RESERVED, druid_names


@given(
    st.lists(
        st.text(max_size=12)
        | st.sampled_from(["a", "a", "A", "", "__time", "__load_id", "Revenue, USD"]),
        min_size=1,
        max_size=12,
    )
)
def test_every_column_has_a_unique_name(header: list[str]) -> None:
    names, problems = druid_names(header, None)
    assert len(set(names)) == len(header)
    assert not set(names) & set(RESERVED)
    assert all(
        name and name == name.strip() and "," not in name and "\n" not in name for name in names
    )
    assert len(problems) == sum(
        name != source.strip() for name, source in zip(names, header, strict=True)
    )


def test_a_comma_is_removed_with_a_warning() -> None:
    names, problems = druid_names(["day", "Revenue, USD"], 0)
    assert names == ["__time", "Revenue USD"]
    assert problems[0].value == "Revenue USD"
