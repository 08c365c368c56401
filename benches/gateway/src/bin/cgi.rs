//! The application as a CGI program.

use std::error::Error;

use proxyfix_bench_gateway::app;
use proxyfix_cgi::Gateway;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    Gateway::new().cgi(app()).await?;
    Ok(())
}
