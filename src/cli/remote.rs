//! Images from http and https addresses.

use super::inputs::read_limited;
use anyhow::bail;
use std::time::Duration;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const TIMEOUT: Duration = Duration::from_secs(60);
const REDIRECTS: u32 = 5;

/// The bytes behind an address: at most one more than `limit`, which the decoder then refuses.
pub(crate) fn fetch(address: &str, limit: u64) -> anyhow::Result<Vec<u8>> {
    let agent = ureq::AgentBuilder::new()
        .timeout_connect(CONNECT_TIMEOUT)
        .timeout(TIMEOUT)
        .redirects(REDIRECTS)
        .user_agent(concat!("glm4v/", env!("CARGO_PKG_VERSION")))
        .build();
    match agent.get(address).call() {
        Ok(response) => Ok(read_limited(response.into_reader(), limit)?),
        Err(ureq::Error::Status(status, _)) => bail!("the server answered {status}"),
        Err(ureq::Error::Transport(transport)) => bail!("cannot be fetched: {transport}"),
    }
}
