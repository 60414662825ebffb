//! Images from addresses, from a server of our own on loopback.

use crate::{glm4v_tiny, picture, run};
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};

/// Serves a picture at `/picture.png`, a way to it at `/moved`, a way in a circle at `/circle`, and
/// endless bytes at `/endless`. Gives its address; the thread ends with the test's process.
fn serve() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || answer(stream));
        }
    });
    address
}

fn answer(mut stream: TcpStream) -> Option<()> {
    let mut lines = BufReader::new(stream.try_clone().ok()?).lines();
    let request = lines.next()?.ok()?;
    lines.map_while(Result::ok).find(String::is_empty)?;
    let redirect =
        |to| format!("HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n");
    let mut endless = false;
    let (head, body) = match request.split(' ').nth(1)? {
        "/picture.png" => {
            let body = std::fs::read(picture()).ok()?;
            (format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len()), body)
        }
        "/moved" => (redirect("/picture.png"), Vec::new()),
        "/circle" => (redirect("/circle"), Vec::new()),
        "/endless" => {
            endless = true;
            ("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n".to_owned(), vec![b'x'; 1 << 16])
        }
        _ => ("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_owned(), Vec::new()),
    };
    stream.write_all(head.as_bytes()).ok()?;
    stream.write_all(&body).ok()?;
    if endless {
        while stream.write_all(&body).is_ok() {} // until the reader hangs up
    }
    Some(())
}

#[test]
fn an_address_gives_what_the_file_gives() {
    let server = serve();
    let greedy = ["--temperature", "0", "--max-tokens", "8"];
    let file = run(glm4v_tiny().args(["describe", &picture()]).args(greedy));
    for path in ["picture.png", "moved"] {
        let address = format!("{server}/{path}");
        let arguments = ["describe", "--allow-remote", &address];
        let remote = run(glm4v_tiny().args(arguments).args(greedy));
        assert_eq!((remote.code, &remote.stdout), (Some(0), &file.stdout), "{}", remote.stderr);
    }
}

#[test]
fn nothing_is_fetched_without_leave() {
    let address = format!("{}/picture.png", serve());
    let run = run(glm4v_tiny().args(["describe", &picture(), &address]));
    assert_eq!((run.code, run.stdout.as_str()), (Some(2), ""));
    assert!(run.stderr.contains("--allow-remote"), "{}", run.stderr);
}

#[test]
fn what_cannot_be_fetched_is_an_error_of_that_image() {
    let server = serve();
    let (missing, circle) = (format!("{server}/missing.png"), format!("{server}/circle"));
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let nobody = format!("http://{nobody}/picture.png"); // the listener is gone again
    let images = [&missing, &circle, &nobody, &picture()];
    let arguments = ["describe", "--allow-remote", "--json", "--max-tokens", "2"];
    let run = run(glm4v_tiny().args(arguments).args(images));
    assert_eq!(run.code, Some(3), "{}", run.stderr);
    let lines = run.json_lines();
    assert_eq!(lines.len(), 4);
    for (line, address) in lines.iter().zip(images).take(3) {
        assert!(line["error"].as_str().unwrap().starts_with(address.as_str()), "{line}");
    }
    assert!(lines[0]["error"].as_str().unwrap().contains("404"), "{}", lines[0]);
}

#[test]
fn an_endless_body_ends_at_the_byte_limit() {
    let address = format!("{}/endless", serve());
    let arguments = ["describe", "--allow-remote", "--max-bytes", "1MB", &address];
    let run = run(glm4v_tiny().args(arguments));
    assert_eq!(run.code, Some(1));
    assert!(run.stderr.contains("more than 1000000 bytes"), "{}", run.stderr);
}
