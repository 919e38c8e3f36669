//! A browser, told what to do over its own protocol (which is JSON over WebSockets).

use std::net::SocketAddr;

use async_tungstenite::tungstenite::Message;
use async_tungstenite::{WebSocketStream, client_async};
use serde_json::{Value, json};
use trio::net::TcpStream;
use trio::process::{Command, Stdio, supervise};
use trio::{BufferedReceiveStream, ReceiveStream};

use super::{Folder, LONG, is_there};
use crate::examples::example;

/// One tab.
struct Tab {
    socket: WebSocketStream<TcpStream>,
    calls: u64,
}

impl Tab {
    /// Opens a page.
    async fn open(browser: SocketAddr, page: &str) -> Self {
        let mut asking = TcpStream::connect(browser).await.unwrap();
        let request = format!("PUT /json/new?{page} HTTP/1.1\r\nhost: {browser}\r\nconnection: close\r\n\r\n");
        asking.send_all(request.as_bytes()).await.unwrap();
        let mut answer = BufferedReceiveStream::new(asking);
        let mut length = 0;
        while let Some(line) = answer.read_line(1000).await.unwrap().filter(|line| !line.trim().is_empty()) {
            if let Some(("content-length", value)) = line.to_lowercase().split_once(':') {
                length = value.trim().parse().unwrap();
            }
        }
        let mut body = vec![0; length];
        answer.read_exact(&mut body).await.unwrap();
        let body: Value = serde_json::from_slice(&body).unwrap();
        let url = body["webSocketDebuggerUrl"].as_str().unwrap();
        let (socket, _) = client_async(url, TcpStream::connect(browser).await.unwrap()).await.unwrap();
        Self { socket, calls: 0 }
    }

    /// What an expression of JavaScript is.
    async fn evaluate(&mut self, expression: &str) -> Value {
        self.calls += 1;
        let parameters = json!({"expression": expression, "returnByValue": true, "awaitPromise": true});
        let call = json!({"id": self.calls, "method": "Runtime.evaluate", "params": parameters});
        self.socket.send(Message::text(call.to_string())).await.unwrap();
        loop {
            let message = futures::StreamExt::next(&mut self.socket).await.expect("the browser goes on").unwrap();
            let answer: Value = serde_json::from_str(message.to_text().unwrap()).unwrap();
            if answer["id"] == self.calls {
                return answer["result"]["result"]["value"].clone();
            }
        }
    }

    async fn says(&mut self, words: &str) {
        let said = json!(words);
        // As soon as there is a connection.
        let expression = format!(
            "new Promise(done => {{ const say_it = () => {{ say({said}); done(true) }};
             socket.readyState == 1 ? say_it() : socket.addEventListener('open', say_it) }})"
        );
        assert_eq!(self.evaluate(&expression).await, true);
    }

    /// Waits until the page shows these lines at last.
    async fn shows(&mut self, lines: &[&str]) {
        let shown = "[...document.querySelectorAll('#log li')].map(line => line.textContent)";
        let mut seen = Value::Null;
        let waiting = trio::move_on_after(LONG, async {
            while seen != json!(lines) {
                trio::sleep(std::time::Duration::from_millis(20)).await;
                seen = self.evaluate(shown).await;
            }
        });
        if waiting.await.is_none() {
            panic!("the page shows {seen}, not {lines:?}");
        }
    }
}

/// Waits until the page's script is there.
async fn enter(browser: SocketAddr, page: &str, name: &str) -> Tab {
    let mut tab = Tab::open(browser, page).await;
    while tab.evaluate("typeof say").await != "function" {
        trio::sleep(std::time::Duration::from_millis(20)).await;
    }
    tab.says(name).await;
    tab
}

/// The first line of these that begins so, without that.
async fn line_after(stream: impl ReceiveStream, beginning: &str) -> String {
    let mut lines = BufferedReceiveStream::new(stream);
    loop {
        let line = lines.read_line(10_000).await.unwrap().expect("it says where it listens");
        if let Some(rest) = line.strip_prefix(beginning) {
            return rest.trim().to_owned();
        }
    }
}

#[trio::test]
async fn two_tabs_of_a_browser_talk_over_websockets() {
    if !is_there("chromium", &["--version"]).await {
        return;
    }
    let folder = Folder::new("chromium");
    let mut server = Command::new(example("websocket_chat"));
    server.arg("127.0.0.1:0").stdout(Stdio::piped());
    let mut browser = Command::new("chromium");
    // Its sandbox can't be had by root, nor inside of most containers.
    browser.args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"]);
    browser.arg("--remote-debugging-port=0").arg(format!("--user-data-dir={}", folder.0.display()));
    browser.arg("about:blank").stdout(Stdio::null()).stderr(Stdio::piped());
    let talked = trio::move_on_after(2 * LONG, async {
        trio::nursery! { |n, scope|
            let mut server = n.start(|status| async { drop(supervise(server, status).await) }).await.unwrap();
            let mut browser = n.start(|status| async { drop(supervise(browser, status).await) }).await.unwrap();
            let page = line_after(server.stdout.take().unwrap(), "serving ").await;
            let wanted = "DevTools listening on ws://";
            let at = line_after(browser.stderr.take().unwrap(), wanted).await;
            let at: SocketAddr = at.split('/').next().unwrap().parse().unwrap();

            let mut ada = enter(at, &page, "Ada").await;
            ada.shows(&["Ada has come"]).await;
            let mut grace = enter(at, &page, "Grace").await;
            grace.shows(&["Grace has come"]).await;
            ada.says("hello").await;
            grace.shows(&["Grace has come", "Ada: hello"]).await;
            grace.says("hello, Ä").await;
            ada.shows(&["Ada has come", "Grace has come", "Ada: hello", "Grace: hello, Ä"]).await;
            assert_eq!(grace.evaluate("socket.close(), 1").await, 1);
            ada.shows(&["Ada has come", "Grace has come", "Ada: hello", "Grace: hello, Ä", "Grace has gone"]).await;
            scope.cancel();
        };
    });
    talked.await.expect("it takes too long");
}
