//! The eight block macros, and what tells them apart.

use proc_macro2::TokenStream;
use syn::Path;

/// Which block macro was called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Nursery,
    TryNursery,
    CancelScope,
    MoveOnAfter,
    MoveOnAt,
    FailAfter,
    FailAt,
    Shield,
}

impl Kind {
    pub(crate) const ALL: [Self; 8] = [
        Self::Nursery,
        Self::TryNursery,
        Self::CancelScope,
        Self::MoveOnAfter,
        Self::MoveOnAt,
        Self::FailAfter,
        Self::FailAt,
        Self::Shield,
    ];

    /// The name users write, without the `!`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Nursery => "nursery",
            Self::TryNursery => "try_nursery",
            Self::CancelScope => "cancel_scope",
            Self::MoveOnAfter => "move_on_after",
            Self::MoveOnAt => "move_on_at",
            Self::FailAfter => "fail_after",
            Self::FailAt => "fail_at",
            Self::Shield => "shield",
        }
    }

    /// The block macro that a path names, by its last segment: `shield`, `trio::shield`, `renamed::shield`.
    pub(crate) fn of(path: &Path) -> Option<Self> {
        let last = path.segments.last()?;
        Self::ALL.into_iter().find(|kind| last.ident == kind.name())
    }

    /// How a call is written, for messages.
    pub(crate) fn usage(self) -> &'static str {
        match self {
            Self::Nursery => "nursery! { |n| … }",
            Self::TryNursery => "try_nursery! { |n| … }",
            Self::CancelScope => "cancel_scope! { |scope| … }",
            Self::MoveOnAfter => "move_on_after!(duration, { … })",
            Self::MoveOnAt => "move_on_at!(instant, { … })",
            Self::FailAfter => "fail_after!(duration, { … })",
            Self::FailAt => "fail_at!(instant, { … })",
            Self::Shield => "shield!({ … })",
        }
    }

    /// Whether the body is introduced by `|…|`.
    pub(crate) fn has_parameters(self) -> bool {
        matches!(self, Self::Nursery | Self::TryNursery | Self::CancelScope)
    }

    /// What surrounds the block's value in the value of the macro.
    pub(crate) fn shape(self, scoped: bool) -> Shape {
        match self {
            Self::Nursery if scoped => Shape::Option,
            Self::TryNursery if scoped => Shape::ResultOfOption,
            Self::Nursery | Self::Shield => Shape::Plain,
            Self::CancelScope | Self::MoveOnAfter | Self::MoveOnAt => Shape::Option,
            Self::TryNursery | Self::FailAfter | Self::FailAt => Shape::Result,
        }
    }
}

/// What surrounds the block's value in the value of the macro.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    Plain,
    Option,
    Result,
    ResultOfOption,
}

impl Shape {
    /// The pattern, and just as well the expression, for a block that came to its end with `inner`.
    pub(crate) fn around(self, inner: &TokenStream) -> TokenStream {
        match self {
            Self::Plain => inner.clone(),
            Self::Option => ours!(::core::option::Option::Some(#inner)),
            Self::Result => ours!(::core::result::Result::Ok(#inner)),
            Self::ResultOfOption => {
                ours!(::core::result::Result::Ok(::core::option::Option::Some(#inner)))
            }
        }
    }

    /// Match arms for the ends that carry nothing out of the block: cancelled, too slow, failed.
    pub(crate) fn other_ends(self) -> TokenStream {
        let error = ours! {
            ::core::result::Result::Err(error) => ::core::result::Result::Err(error),
        };
        match self {
            Self::Plain => TokenStream::new(),
            Self::Option => ours! {
                ::core::option::Option::None => ::core::option::Option::None,
            },
            Self::Result => error,
            Self::ResultOfOption => ours! {
                ::core::result::Result::Ok(::core::option::Option::None) =>
                    ::core::result::Result::Ok(::core::option::Option::None),
                #error
            },
        }
    }
}
