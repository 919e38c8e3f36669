//! What a group of errors must consist of.

use std::error::Error;
use std::fmt;

use super::error::ErrorMatcher;
use super::pairing::Pairing;
use crate::kernel::group::{BoxError, ErrorGroup, nested};

/// Says exactly which errors an [`ErrorGroup`] must consist of: Trio's `RaisesGroup`.
///
/// Each error must be what one of the expected members says, each member must have its error, in any order. Nested groups
/// have to be spelt out, unless [`flatten`](Self::flatten) is asked for. Of all ways to assign errors to members one is
/// found, if there is one (Trio's may miss it).
///
/// # Examples
///
/// ```
/// use trio::testing::{ErrorGroupMatcher, ErrorMatcher};
/// let result: Result<(), trio::ErrorGroup> = trio::run(async {
///     trio::try_nursery! { |n|
///         n.start_soon(async { Err("no such page")?; Ok(()) });
///         n.start_soon(async { "four".parse::<i32>()?; Ok(()) });
///     }
/// });
/// ErrorGroupMatcher::new()
///     .error(ErrorMatcher::of::<std::num::ParseIntError>())
///     .error(ErrorMatcher::any().text_is("no such page"))
///     .assert(&result.unwrap_err());
/// ```
pub struct ErrorGroupMatcher<E = BoxError> {
    members: Vec<Member<E>>,
    flatten: bool,
    allow_unwrapped: bool,
    checks: Vec<Check<E>>,
}

enum Member<E> {
    Error(ErrorMatcher<E>),
    Group(ErrorGroupMatcher<E>),
}

/// A condition on the group as a whole.
type Check<E> = Box<dyn Fn(&ErrorGroup<E>) -> bool>;

impl<E: fmt::Display + 'static> Default for ErrorGroupMatcher<E> {
    fn default() -> Self {
        Self::new()
    }
}

impl<E: fmt::Display + 'static> ErrorGroupMatcher<E> {
    /// A group of nothing, which there is not: add members.
    pub fn new() -> Self {
        Self { members: Vec::new(), flatten: false, allow_unwrapped: false, checks: Vec::new() }
    }

    /// Expects one error more.
    #[must_use]
    pub fn error(mut self, expected: ErrorMatcher<E>) -> Self {
        self.members.push(Member::Error(expected));
        self
    }

    /// Expects one nested group more. It is found where it is an error of the same kind of group: itself an `E`, or
    /// inside a [`BoxError`]. (A group of errors of another type is one error of the type `ErrorGroup<X>`.)
    #[must_use]
    pub fn group(mut self, expected: Self) -> Self {
        self.members.push(Member::Group(expected));
        self
    }

    /// Looks at the errors in nested groups as if they were errors of this one, however deeply they are nested.
    #[must_use]
    pub fn flatten(mut self) -> Self {
        self.flatten = true;
        self
    }

    /// Lets [`matches_error`](Self::matches_error) and [`assert_error`](Self::assert_error) take an error that is no group
    /// for the only member of one.
    #[must_use]
    pub fn allow_unwrapped(mut self) -> Self {
        self.allow_unwrapped = true;
        self
    }

    /// And the group as a whole must pass a check.
    #[must_use]
    pub fn check(mut self, check: impl Fn(&ErrorGroup<E>) -> bool + 'static) -> Self {
        self.checks.push(Box::new(check));
        self
    }

    /// Whether a group is as it must be.
    ///
    /// # Panics
    ///
    /// If what is expected contradicts itself: [`flatten`](Self::flatten) with a nested group, or
    /// [`allow_unwrapped`](Self::allow_unwrapped) with anything but one error.
    #[track_caller]
    pub fn matches(&self, group: &ErrorGroup<E>) -> bool {
        self.explain(group).is_ok()
    }

    /// Whether an error is a group as it must be, or, with [`allow_unwrapped`](Self::allow_unwrapped), the one error that
    /// is expected in it.
    ///
    /// # Panics
    ///
    /// As [`matches`](Self::matches).
    #[track_caller]
    pub fn matches_error(&self, error: &E) -> bool {
        self.explain_error(error).is_ok()
    }

    /// Panics unless a group is as it must be, and says what differs.
    ///
    /// # Panics
    ///
    /// Then; and as [`matches`](Self::matches).
    #[track_caller]
    pub fn assert(&self, group: &ErrorGroup<E>) {
        if let Err(mismatch) = self.explain(group) {
            panic!("{mismatch}\nthe group is: {group}");
        }
    }

    /// As [`assert`](Self::assert), for an error that may be a group.
    ///
    /// # Panics
    ///
    /// As `assert`.
    #[track_caller]
    pub fn assert_error(&self, error: &E) {
        if let Err(mismatch) = self.explain_error(error) {
            panic!("{mismatch}\nthe error is: {error}");
        }
    }

    /// What about an error is not as it must be.
    ///
    /// # Errors
    ///
    /// Exactly that.
    ///
    /// # Panics
    ///
    /// As [`matches`](Self::matches).
    #[track_caller]
    pub fn explain_error(&self, error: &E) -> Result<(), GroupMismatch> {
        self.refuse_contradictions();
        match (nested(error), &self.members[..]) {
            (Some(group), _) => self.explain(group),
            (None, [Member::Error(expected)]) if self.allow_unwrapped => {
                let right = expected.matches(error);
                if right { Ok(()) } else { Err(GroupMismatch(format!("expected {expected}, or a group of it"))) }
            }
            (None, _) => {
                let hint = if self.would_match_alone(error) { "; `allow_unwrapped` would take it" } else { "" };
                Err(GroupMismatch(format!("expected a group, but this is an error that is none{hint}")))
            }
        }
    }

    fn would_match_alone(&self, error: &E) -> bool {
        matches!(&self.members[..], [Member::Error(expected)] if expected.matches(error))
    }

    /// What about a group is not as it must be.
    ///
    /// # Errors
    ///
    /// Exactly that: which errors were found to be what was expected, which are missing, and which are there that should
    /// not be.
    ///
    /// # Panics
    ///
    /// As [`matches`](Self::matches).
    #[track_caller]
    pub fn explain(&self, group: &ErrorGroup<E>) -> Result<(), GroupMismatch> {
        self.refuse_contradictions();
        let leaves = if self.flatten { group.leaves() } else { group.iter().collect() };
        let errors: Vec<&E> = leaves.into_iter().map(|error| error.error()).collect();
        let pairing = Pairing::find(&self.members, &errors, Member::matches);
        if !pairing.is_complete() {
            return Err(GroupMismatch(self.differences(&pairing, &errors)));
        }
        if self.checks.iter().all(|check| check(group)) {
            Ok(())
        } else {
            Err(GroupMismatch("the group has the expected errors, but does not pass the check".to_owned()))
        }
    }

    #[track_caller]
    fn refuse_contradictions(&self) {
        let has_groups = self.members.iter().any(|member| matches!(member, Member::Group(_)));
        assert!(!(self.flatten && has_groups), "a nested group can't be expected where nested groups are flattened");
        let single = self.members.len() == 1 && !has_groups;
        assert!(single || !self.allow_unwrapped, "an unwrapped error can only be allowed where one error is expected");
    }

    fn differences(&self, pairing: &Pairing, errors: &[&E]) -> String {
        use fmt::Write;
        let mut text = "the group does not consist of exactly the expected errors".to_owned();
        for (member, error) in pairing.pairs() {
            let _ = write!(text, "\n  found: {}, as {:?}", self.members[member], errors[error].to_string());
        }
        for member in pairing.members_left() {
            let _ = write!(text, "\n  missing: {}", self.members[member]);
        }
        for error in pairing.errors_left() {
            let _ = write!(text, "\n  not expected: {:?}", errors[error].to_string());
            if nested(errors[error]).is_some() {
                text.push_str(" (a nested group: expect it with `group`, or `flatten`)");
            }
        }
        text
    }
}

impl<E: fmt::Display + 'static> Member<E> {
    fn matches(&self, error: &&E) -> bool {
        match self {
            Self::Error(expected) => expected.matches(error),
            Self::Group(expected) => nested(*error).is_some_and(|group| expected.matches(group)),
        }
    }
}

impl<E> fmt::Display for Member<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Error(expected) => expected.fmt(f),
            Self::Group(expected) => expected.fmt(f),
        }
    }
}

impl<E> fmt::Display for ErrorGroupMatcher<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a group of [")?;
        for (number, member) in self.members.iter().enumerate() {
            write!(f, "{}{member}", if number == 0 { "" } else { ", " })?;
        }
        f.write_str("]")?;
        if self.checks.is_empty() { Ok(()) } else { f.write_str(" that passes the check") }
    }
}

impl<E> fmt::Debug for ErrorGroupMatcher<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ErrorGroupMatcher({self})")
    }
}

/// How a group differs from what was expected. Its `Display` says it in full.
#[derive(Clone, PartialEq, Eq)]
pub struct GroupMismatch(String);

impl fmt::Display for GroupMismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for GroupMismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for GroupMismatch {}
