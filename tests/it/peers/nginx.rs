//! nginx behind the proxy of the examples, and curl in front of it.

use std::fs::{read, write};

use trio::net::{TcpListener, TcpStream};
use trio::process::{Command, Stdio, run_process, supervise};
use trio::{BoxError, StartError};

use super::{Folder, LONG, is_there};
use crate::examples::example;

/// A port that nobody has at the moment.
async fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port()
}

/// Waits until somebody listens there.
async fn until_served(port: u16) {
    let served = async {
        while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
            trio::sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    trio::fail_after(LONG, served).await.expect("somebody listens");
}

/// What nginx needs to serve a folder in the foreground, as whoever started it.
fn configuration(folder: &str, port: u16) -> String {
    format!(
        "daemon off; master_process off; pid {folder}/pid; error_log {folder}/error.log; events {{}}
         http {{
             access_log off;
             client_body_temp_path {folder}/1; proxy_temp_path {folder}/2; fastcgi_temp_path {folder}/3;
             uwsgi_temp_path {folder}/4; scgi_temp_path {folder}/5;
             server {{ listen 127.0.0.1:{port}; root {folder}/www; }}
         }}"
    )
}

#[trio::test]
async fn curl_fetches_from_nginx_through_the_proxy() {
    if !is_there("nginx", &["-v"]).await || !is_there("curl", &["--version"]).await {
        return;
    }
    let folder = Folder::new("nginx");
    let path = folder.0.to_str().expect("the name of a temporary folder is UTF-8");
    std::fs::create_dir(folder.0.join("www")).unwrap();
    let page: Vec<u8> = (0..3_000_000_u32).map(|place| (place % 253) as u8).collect();
    write(folder.0.join("www/page"), &page).unwrap();
    let (upstream, here) = (free_port().await, free_port().await);
    write(folder.0.join("conf"), configuration(path, upstream)).unwrap();

    let fetched = trio::try_nursery! { |n, scope|
        let mut nginx = Command::new("nginx");
        nginx.args(["-e", &format!("{path}/error.log"), "-p", path, "-c", &format!("{path}/conf")]).stderr(Stdio::null());
        n.start(|status| supervise(nginx, status)).await.map_err(StartError::<BoxError>::into_error).unwrap();
        until_served(upstream).await;
        let mut proxy = Command::new(example("proxy"));
        proxy.args([format!("127.0.0.1:{here}"), format!("127.0.0.1:{upstream}")]).stdout(Stdio::null());
        let proxy = n.start(|status| supervise(proxy, status)).await.map_err(StartError::<BoxError>::into_error).unwrap();
        until_served(here).await;

        // Side by side, and on connections that are kept.
        trio::try_nursery! { |clients|
            for client in 0..8 {
                let (folder, page) = (&folder, &page);
                clients.start_soon(async move {
                    let target = folder.0.join(format!("fetched {client}"));
                    let url = format!("http://127.0.0.1:{here}/page");
                    let mut curl = Command::new("curl");
                    curl.args(["--silent", "--show-error", "--fail", "--max-time", "60"]);
                    for _ in 0..3 {
                        curl.arg(&url).arg("--output").arg(&target);
                    }
                    run_process(curl).await?;
                    assert!(read(&target)? == *page);
                    Ok::<_, BoxError>(())
                });
            }
        }?;
        // It has nobody left, so it ends at once, and by itself.
        proxy.terminate()?;
        assert!(proxy.wait().await?.success());
        scope.cancel();
    };
    fetched.unwrap();
}
