//! The attack catalogue, played against whole request heads through public names.
//!
//! A test is named for the entries of the catalogue that it covers. Unless a test says otherwise,
//! the deployment is this:
//!
//! | | |
//! | --- | --- |
//! | trusted | `10.0.0.0/8` |
//! | the last proxy, connected to us | `10.0.0.2`; others are `10.0.0.7` and `10.0.0.8` |
//! | the attacker | `203.0.113.9`, who would like to be `127.0.0.1`, `198.51.100.7` or `10.…` |
//! | the host asked for, and a hostile one | `good.example`, `evil.example` |
//! | read | `X-Forwarded-For`, `-Proto`, `-Host`, `-Port`, `-Prefix` |
//!
//! A fix publishes no hostile value, and does not answer; what is answered (400, 421) is decided by a
//! [`Guard`](proxyfix::Guard) behind it. Which test covers which entry is in `THREATS.md`.

mod a_gate;
mod b_chain;
mod c_addresses;
mod d_forwarded;
mod e_host;
mod f_prefix;
mod g_sanitizing;
mod h_limits;
mod m_decisions;
mod stage;
