//! Whole expansions, and what must hold of every one.

use super::*;

/// As a reader would write it.
fn pretty(tokens: TokenStream) -> String {
    let file = syn::parse2(quote!(fn expansion() { #tokens })).expect("an expansion is a block");
    prettyplease::unparse(&file)
}

#[test]
fn a_nursery_with_exits() {
    let expansion = expand(Kind::Nursery, "|n| n.start_soon(f(g()?)); if done { return Err(e) } 5");
    let expected = r#"
fn expansion() {
    {
        let none = ::core::option::Option::None;
        match none {
            ::core::option::Option::Some(value) => value,
            ::core::option::Option::None => {
                let witness0 = ::core::marker::PhantomData;
                let exit = krate::trio::__private::nursery(
                        __TrioExit0::body(
                            async |n| {
                                n.start_soon(
                                    f(
                                        match krate::trio::__private::Try::branch(g()) {
                                            ::core::ops::ControlFlow::Continue(value) => value,
                                            ::core::ops::ControlFlow::Break(value) => {
                                                return __TrioExit0::At0 { value };
                                            }
                                        },
                                    ),
                                );
                                if done {
                                    return __TrioExit0::tie(
                                        witness0,
                                        __TrioExit0::At1 { value: Err(e) },
                                    );
                                }
                                __TrioExit0::tie(witness0, __TrioExit0::Value { value: 5 })
                            },
                            match none
                                .map(|value| {
                                    #[allow(unreachable_code)] __TrioExit0::Value { value }
                                })
                            {
                                ::core::option::Option::Some(__TrioExit0::At1 { value }) => {
                                    return value;
                                }
                                probe => probe,
                            },
                            witness0,
                        ),
                    )
                    .await;
                enum __TrioExit0<V, At0, At1> {
                    Value { value: V },
                    At0 { value: At0 },
                    At1 { value: At1 },
                }
"#;
    let expansion = pretty(expansion);
    assert!(expansion.starts_with(expected.trim_start()), "{expansion}");
    let ends = r#"
                match exit {
                    __TrioExit0::Value { value } => value,
                    #[allow(clippy::needless_continue)]
                    __TrioExit0::At0 { value: value } => match value? {}
                    #[allow(clippy::needless_continue)]
                    __TrioExit0::At1 { value: value } => return value,
                }
            }
        }
    }
}
"#;
    assert!(expansion.ends_with(ends.trim_start_matches('\n')), "{expansion}");
}

#[test]
fn a_nest_is_lowered_as_one() {
    let nest = "|_n| loop { some::shield!({ if a { break } if b { return 7 } }) }";
    let words = flat(expand(Kind::Nursery, nest));
    // The inner macro is still called, under the name that the user gave it.
    let call = ["some", ":", ":", "shield", "!", "(", "@", "lowered", "{", "let"].map(str::to_owned);
    assert!(contains(&words, &call), "{words:?}");
    // What leaves the loop stays in the outer body; what leaves the function leaves that too.
    assert!(contains(&words, &flat(quote!(__TrioExit1::At0 => break,))));
    let again = quote!(return __TrioExit0::tie(witness0, __TrioExit0::At0 { value: value }),);
    assert!(contains(&words, &flat(again)), "{words:?}");
}

/// Inputs that between them use everything an expansion is made of.
const INPUTS: [(Kind, &str); 10] = [
    (Kind::Nursery, "|n| n.start_soon(f()); g()?; return 1"),
    (Kind::Nursery, "move |n, scope| { scope.cancel(); break 'a 5; }"),
    (Kind::TryNursery, "|n| n.start_soon(async { f()?; }); g()?; continue"),
    (Kind::TryNursery, "|n, scope| -> MyResult<_, MyError> { return; }"),
    (Kind::CancelScope, "|scope| shield!({ move_on_after!(d, { return x }) })"),
    (Kind::MoveOnAfter, "d, { #[cfg(a)] x?; y?; 5 }"),
    (Kind::MoveOnAt, "t, { f().await }"),
    (Kind::FailAfter, "d, move { loop { break } }"),
    (Kind::FailAt, "t, { println!(\"{}\", x?) }"),
    (Kind::Shield, "{ f().await }"),
];

#[test]
fn every_path_is_absolute() {
    for (kind, input) in INPUTS {
        let words = flat(expand(kind, input));
        for (at, word) in words.iter().enumerate() {
            let is_prelude = ["Option", "Some", "None", "Result", "Ok", "Err", "Box", "core", "std", "trio"];
            let before: String = words[at.saturating_sub(2)..at].concat();
            if is_prelude.contains(&word.as_str()) {
                assert_eq!(before, "::", "a bare `{word}` in the expansion of {}!: {input}", kind.name());
            }
        }
    }
}

#[test]
fn every_item_of_the_runtime_is_named_through_the_path_given() {
    for (kind, input) in INPUTS {
        let words = flat(expand(kind, input));
        let uses = ["__private", "CancelScope", "CancelHandle", "BoxError", "Nursery"];
        for (at, word) in words.iter().enumerate() {
            if uses.contains(&word.as_str()) {
                assert_eq!(words[at - 6..at].concat(), "krate::trio::", "{input}");
            }
        }
        assert!(words.iter().any(|word| word == "krate"), "{input}");
    }
}

#[test]
fn a_correct_input_gives_no_error() {
    for (kind, input) in INPUTS {
        assert_eq!(messages(expand(kind, input)), [""; 0], "{input}");
    }
}

#[test]
fn inline_tasks_are_pinned() {
    let pinned = |body: &str| {
        let body: TokenStream = body.parse().expect("tokens");
        let nursery = syn::Pat::parse_single;
        let nursery = syn::parse::Parser::parse_str(nursery, "n").expect("a pattern");
        crate::typed::pin(body, &nursery).to_string()
    };
    let same = |body: &str| assert_eq!(pinned(body), body.parse::<TokenStream>().expect("tokens").to_string());
    let changed = |body: &str, expected: &str| {
        assert_eq!(pinned(body), expected.parse::<TokenStream>().expect("tokens").to_string());
    };
    changed("n.start_soon(async { f()?; Ok(()) })", "n.start_soon(n.__typed(async { f()?; Ok(()) }))");
    changed("n.start_daemon(async move { f()?; Ok(()) },)", "n.start_daemon(n.__typed(async move { f()?; Ok(()) }))");
    changed("n.named(\"x\").start_soon(async { Ok(()) })", "n.named(\"x\").start_soon(n.__typed(async { Ok(()) }))");
    changed("n.start(|s| async { s.f()?; Ok(()) })", "n.start(|s| n.__typed(async { s.f()?; Ok(()) }))");
    changed("|| { n.try_spawn(async { g!(x?); Ok(1) }) }", "|| { n.try_spawn(n.__typed(async { g!(x?); Ok(1) })) }");
    changed("n.start_soon(async { shield!({ f()? }) })", "n.start_soon(n.__typed(async { shield!({ f()? }) }))");

    // Nothing is open, or something says what the type is.
    same("n.start_soon(async { f() })");
    same("n.start_soon(async { list.map(|x| x?) })");
    same("n.start_soon(async { try_nursery! { |m| f()? } ; })");
    same("n.start_soon(async { f()?; Ok::<(), E>(()) })");
    same("n.start_soon(async { if a { Err(b) } else { Ok(()) } })");
    // Somebody else's.
    same("m.start_soon(async { f()?; Ok(()) })");
    same("self.n.start_soon(async { f()?; Ok(()) })");
    same("n.other(async { f()?; Ok(()) })");
    same("try_nursery! { |n| n.start_soon(async { f()?; Ok(()) }) }");
}
