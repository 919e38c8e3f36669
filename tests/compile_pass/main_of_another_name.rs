//! The function may have any name, and be called.

#[trio::main]
async fn program() -> std::process::ExitCode {
    trio::checkpoint().await;
    std::process::ExitCode::from(3)
}

fn main() {
    let code: std::process::ExitCode = program();
    assert_eq!(code, std::process::ExitCode::from(3));
}
