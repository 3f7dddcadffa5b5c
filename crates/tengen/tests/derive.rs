//! What the derive macro says to structs that it cannot make modules of.

#[test]
fn mistakes_are_explained_where_they_are() {
    trybuild::TestCases::new().compile_fail("tests/derive/*.rs");
}
