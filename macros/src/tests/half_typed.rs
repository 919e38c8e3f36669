//! Bodies in the state they are in most of the time.

use super::*;

/// Bodies with a cursor at `@`.
const BODIES: [&str; 25] = [
    "n.@",
    "num.@;",
    "num.@ next();",
    "if num.@",
    "let y = num.@;",
    "let y = num.@ let z = 5;",
    "drop(num.@)",
    "match 1 { 1 => num.@ }",
    "let a = b()?; a.@",
    "b()?.@",
    "b()?.c()?.@ d();",
    "let e = b()?.c()?.@ d(); f()",
    "let e: E = b()?.@ if f { return g; }",
    "if x { return 1; } let a = b; a.@",
    "for a in b { let c = d()?; c.@ }",
    "for a in b { let c = d()?; c.@ e(); }",
    "other::shield!({ let a = b()?; return a.@ });",
    "n.start_soon(async { let a = b()?; a.@ Ok(()) });",
    "a(); let y = num.@ z + 1;",
    "num.@ if a { b(); }",
    "if a { b(); num.@ next(); }",
    "if a { b(); num.@ } else { c(); }",
    "if a { num.@; } else { b(); c(); }",
    "match a { b => { num.@ next(); } c => { d(); } }",
    "match a { b => c(), d => { e(); if f { num.@ next(); } else { g(); } } _ => { h(); } }",
];

/// The input of each block macro around a body.
fn inputs(body: &str) -> [(Kind, String); 8] {
    [
        (Kind::Nursery, format!("|n| {body}")),
        (Kind::Nursery, format!("move |n, scope| {{ {body} }}")),
        (Kind::TryNursery, format!("|n| {body}")),
        (Kind::TryNursery, format!("|n| -> Result<_, MyError> {{ {body} }}")),
        (Kind::CancelScope, format!("|scope| {body}")),
        (Kind::MoveOnAfter, format!("HOUR, {{ {body} }}")),
        (Kind::FailAt, format!("soon()?, {{ {body} }}")),
        (Kind::Shield, format!("{{ {body} }}")),
    ]
}

#[test]
fn an_editor_finds_the_cursor_where_it_was() {
    // rust-analyzer expands the input as it is and with an identifier at the cursor, and takes
    // the second one's place for the first one's.
    for body in BODIES {
        for ((kind, broken), (_, whole)) in
            inputs(&body.replace('@', "")).into_iter().zip(inputs(&body.replace('@', "cursor")))
        {
            let broken = flat(expand(kind, &broken));
            let whole = flat(expand(kind, &whole));
            let cursor = whole.iter().position(|word| word == "cursor").expect("the cursor is somewhere");
            assert_eq!(broken[..cursor], whole[..cursor], "{} of {}!", body, kind.name());
        }
    }
}

#[test]
fn what_cannot_be_parsed_is_handed_on() {
    for body in ["n.", "let x = ;", "if a {} else", "foo(,)", "let y: = 3; n.", "a b c", "#[", "match x { 1 => }"] {
        let Ok(tokens) = body.parse::<TokenStream>() else {
            continue;
        };
        for (kind, input) in inputs(body) {
            // With what the macro puts in between.
            let mut expansion = flat(expand(kind, &input)).into_iter();
            let all = flat(tokens.clone()).into_iter().all(|word| expansion.any(|other| other == word));
            assert!(all, "{input}");
        }
    }
}

#[test]
fn no_beginning_of_an_input_is_too_strange() {
    let long = "move | n , scope | -> Result < _ , E > { let Some(a) = b()? else { return } ; \
                'x : for c in d { n . start_soon ( async move { e()? . f ; Ok(()) } ) ; \
                trio :: shield ! ( { break 'x a . b } ) ; vec ! [ g ? ; 3 ] } match h ? { _ => i ? . j , } } , ";
    let words: Vec<&str> = long.split(' ').collect();
    for kind in Kind::ALL {
        for first in 0..words.len() {
            for last in first..words.len() {
                // Unbalanced delimiters never get as far as a macro.
                if let Ok(input) = words[first..=last].join(" ").parse::<TokenStream>() {
                    let output = block(kind, quote!([krate] #input));
                    assert!(!output.is_empty());
                }
            }
        }
    }
}

#[test]
fn what_parses_is_treated_around_what_does_not() {
    let words = flat(expand(Kind::Nursery, "|n| a()?; let x = ; for b in c { break; if d { return 5 } e. } return 6"));
    let returns = words.iter().filter(|word| *word == "return").count();
    // Three exits in the body, each by a `return`; two done again by one, in the probe and behind.
    assert_eq!(returns, 3 + 2 + 2, "{words:?}");
    assert!(contains(&words, &flat(quote!(let x = ;))));
    assert!(contains(&words, &flat(quote!(break;))));
}
