//! Saying what a nursery must have failed with.

use std::error::Error;
use std::fmt;
use std::io;

use trio::testing::{ErrorGroupMatcher, ErrorMatcher};
use trio::{BoxError, BusyResourceError, ErrorGroup};

use crate::support::panic_text;

macro_rules! errors {
    ($($name:ident),*) => {
        $(
            #[derive(Debug)]
            struct $name(&'static str);

            impl fmt::Display for $name {
                fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    f.write_str(self.0)
                }
            }

            impl Error for $name {}
        )*
    };
}

errors!(A, B);

/// What a nursery fails with whose tasks fail with these.
fn group(errors: Vec<BoxError>) -> ErrorGroup {
    trio::run(async {
        trio::try_nursery! { |n|
            for error in errors {
                n.start_soon(async move { Err::<(), _>(error) });
            }
        }
    })
    .unwrap_err()
}

fn a() -> BoxError {
    A("an a").into()
}

fn b() -> BoxError {
    B("a b").into()
}

fn nested(errors: Vec<BoxError>) -> BoxError {
    group(errors).into()
}

fn of<const N: usize>(members: [ErrorMatcher; N]) -> ErrorGroupMatcher {
    members.into_iter().fold(ErrorGroupMatcher::new(), ErrorGroupMatcher::error)
}

fn is_a() -> ErrorMatcher {
    ErrorMatcher::of::<A>()
}

fn is_b() -> ErrorMatcher {
    ErrorMatcher::of::<B>()
}

// trio: _tests/test_testing_raisesgroup.py::test_raises_group
#[test]
fn a_group_matches_by_the_kinds_of_its_members_in_any_order() {
    of([is_a()]).assert(&group(vec![a()]));
    of([is_a(), is_b()]).assert(&group(vec![a(), b()]));
    of([is_b(), is_a()]).assert(&group(vec![a(), b()]));
    assert!(!of([is_b()]).matches(&group(vec![a()])));
    // Nested groups have to be spelt out.
    ErrorGroupMatcher::new().group(of([is_a()])).error(is_b()).assert(&group(vec![b(), nested(vec![a()])]));
    ErrorGroupMatcher::new()
        .group(ErrorGroupMatcher::new().group(of([is_a(), is_b()])))
        .assert(&group(vec![nested(vec![nested(vec![b(), a()])])]));
    assert!(!of([is_a()]).matches(&group(vec![nested(vec![a()])])));
    assert!(!ErrorGroupMatcher::new().group(of([is_a()])).matches(&group(vec![a()])));
    assert!(!ErrorGroupMatcher::new().group(of([is_b()])).matches(&group(vec![nested(vec![a()])])));
    assert!(!ErrorGroupMatcher::new().matches(&group(vec![a()])));
}

#[test]
fn a_member_leaves_to_another_what_only_that_one_can_take() {
    // Whichever comes first, `any` has to take the one that `is_a` can't.
    of([ErrorMatcher::any(), is_a()]).assert(&group(vec![a(), b()]));
    of([is_a(), ErrorMatcher::any()]).assert(&group(vec![a(), b()]));
    let chain = || [ErrorMatcher::any(), ErrorMatcher::any().text_contains("a"), is_a()];
    of(chain()).assert(&group(vec![a(), b(), B("c").into()]));
    assert!(!of(chain()).matches(&group(vec![b(), b(), B("c").into()])));
}

// trio: _tests/test_testing_raisesgroup.py::test_incorrect_number_exceptions
#[test]
fn the_message_says_what_is_missing_and_what_is_there_too_much() {
    let says = |matcher: ErrorGroupMatcher, errors| {
        let group = group(errors);
        assert!(!matcher.matches(&group));
        matcher.explain(&group).unwrap_err().to_string().replace("it::testing::matchers::", "")
    };
    let head = "the group does not consist of exactly the expected errors\n";
    assert_eq!(
        says(of([is_a()]), vec![b(), a()]),
        format!("{head}  found: an error of type A, as \"an a\"\n  not expected: \"a b\"")
    );
    assert_eq!(
        says(of([is_a(), is_b()]), vec![a()]),
        format!("{head}  found: an error of type A, as \"an a\"\n  missing: an error of type B")
    );
    let found = "  found: an error of type A, as \"an a\"\n";
    assert_eq!(says(of([is_a(), is_a()]), vec![a()]), format!("{head}{found}  missing: an error of type A"));
    assert_eq!(says(of([is_a()]), vec![a(), a()]), format!("{head}{found}  not expected: \"an a\""));
    assert_eq!(
        says(of([is_a(), is_a()]), vec![a(), b()]),
        format!("{head}{found}  missing: an error of type A\n  not expected: \"a b\"")
    );
    let text = panic_text(|| of([is_a()]).assert(&group(vec![nested(vec![a()])])));
    assert!(text.contains("(a nested group: expect it with `group`, or `flatten`)"), "{text}");
    assert!(text.contains("the group is: 1 error in a nursery"), "{text}");
}

// trio: _tests/test_testing_raisesgroup.py::test_flatten_subgroups
#[test]
fn nested_groups_can_be_flattened() {
    let deep = || group(vec![b(), nested(vec![nested(vec![a()])])]);
    assert!(!of([is_a(), is_b()]).matches(&deep()));
    of([is_a(), is_b()]).flatten().assert(&deep());
    of([is_a()]).flatten().assert(&group(vec![a()]));
    of([is_a()]).flatten().assert_error(&nested(vec![nested(vec![a()])]));
    assert!(!of([is_a()]).flatten().matches(&deep()));
    assert!(!of([is_a()]).flatten().matches_error(&a()));
    // A group that is expected can be one that is flattened, but not the other way round.
    ErrorGroupMatcher::new().error(is_b()).group(of([is_a()]).flatten()).assert(&deep());
    let text = panic_text(|| ErrorGroupMatcher::new().group(of([is_a()])).flatten().matches(&deep()));
    assert_eq!(text, "a nested group can't be expected where nested groups are flattened");
}

// trio: _tests/test_testing_raisesgroup.py::test_catch_unwrapped_exceptions
#[test]
fn an_error_that_is_no_group_can_be_allowed() {
    of([is_a()]).allow_unwrapped().assert_error(&a());
    of([is_a()]).allow_unwrapped().assert_error(&nested(vec![a()]));
    assert!(!of([is_a()]).allow_unwrapped().matches_error(&b()));
    assert!(!of([is_a()]).allow_unwrapped().matches_error(&nested(vec![nested(vec![a()])])));
    of([is_a()]).allow_unwrapped().flatten().assert_error(&nested(vec![nested(vec![a()])]));
    let refused = "an unwrapped error can only be allowed where one error is expected";
    assert_eq!(panic_text(|| of([is_a(), is_b()]).allow_unwrapped().matches_error(&a())), refused);
    let group = || ErrorGroupMatcher::new().group(of([is_a()])).allow_unwrapped();
    assert_eq!(panic_text(|| group().matches_error(&a())), refused);
    let text = panic_text(|| of([is_a()]).assert_error(&a()));
    assert!(text.contains("`allow_unwrapped` would take it"), "{text}");
    assert!(!panic_text(|| of([is_a()]).assert_error(&b())).contains("allow_unwrapped"));
}

// trio: _tests/test_testing_raisesgroup.py::test_check
#[test]
fn the_group_as_a_whole_can_be_checked() {
    let matcher = |len| of([is_a()]).check(move |group: &ErrorGroup| group.len() == len);
    matcher(1).assert(&group(vec![a()]));
    let text = panic_text(|| matcher(2).assert(&group(vec![a()])));
    assert!(text.starts_with("the group has the expected errors, but does not pass the check"), "{text}");
    assert!(matcher(1).to_string().ends_with("that passes the check"));
}

// trio: _tests/test_testing_raisesgroup.py::test_RaisesGroup_matches
#[test]
fn whether_it_matches_can_be_asked() {
    // There is no error that is none.
    assert!(!of([is_a()]).matches_error(&a()));
    assert!(of([is_a()]).matches_error(&nested(vec![a()])));
}

// trio: _tests/test_testing_raisesgroup.py::test_matcher_match
#[test]
fn an_error_can_be_told_by_its_text() {
    let bar = |text| group(vec![A(text).into()]);
    of([ErrorMatcher::any().text_is("bar")]).assert(&bar("bar"));
    of([is_a().text_is("bar")]).assert(&bar("bar"));
    assert!(!of([ErrorMatcher::any().text_is("bar")]).matches(&bar("barr")));
    of([ErrorMatcher::any().text_contains("bar")]).assert(&bar("a barr"));
    assert!(!of([is_b().text_is("bar")]).matches(&bar("bar")));
    let text = panic_text(|| of([is_b().text_contains("x")]).assert(&bar("bar")));
    assert!(text.contains("B and with \"x\" in its text"), "{text}");
}

// trio: _tests/test_testing_raisesgroup.py::test_Matcher_check
#[test]
fn an_error_can_be_told_by_a_check() {
    let os = |code| group(vec![io::Error::from_raw_os_error(code).into()]);
    let any = || ErrorMatcher::any().check(|error: &BoxError| error.to_string().contains("os error 5"));
    of([any()]).assert(&os(5));
    assert!(!of([any()]).matches(&os(6)));
    let typed = || ErrorMatcher::any().check_as(|error: &io::Error| error.raw_os_error() == Some(5));
    of([typed()]).assert(&os(5));
    assert!(!of([typed()]).matches(&os(6)));
    // It sees errors of its type only.
    assert!(!of([typed()]).matches(&group(vec![a()])));
}

#[test]
fn errors_of_streams_are_found_inside_of_theirs() {
    let busy = || io::Error::other(BusyResourceError);
    of([ErrorMatcher::of::<BusyResourceError>()]).assert(&group(vec![busy().into()]));
    let typed: ErrorGroup<io::Error> = trio::run(async {
        trio::try_nursery! { |n| -> Result<_, io::Error>
            n.start_soon(async { Err(busy()) });
        }
    })
    .unwrap_err();
    ErrorGroupMatcher::new().error(ErrorMatcher::of::<BusyResourceError>()).assert(&typed);
    ErrorGroupMatcher::new().error(ErrorMatcher::of::<io::Error>()).assert(&typed);
    assert!(!ErrorGroupMatcher::new().error(ErrorMatcher::of::<A>()).matches(&typed));
}
