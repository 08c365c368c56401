//! Says who sent a request, given the peer and an `X-Forwarded-For`: or, without the policy, repeats both.

use std::env;
use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    let mut words = env::args().skip(1);
    let (peer, chain) = (words.next().ok_or("no peer")?, words.next().ok_or("no header")?);

    #[cfg(feature = "policy")]
    {
        use proxyfix_policy::{Policy, Received, TrustedProxies};

        let policy = Policy::new("10.0.0.0/8".parse::<TrustedProxies>()?);
        let headers: &[(&str, &[u8])] = &[("x-forwarded-for", chain.as_bytes())];
        let origin = policy.decide(peer.parse()?, Received::default(), headers);
        println!("{:?}", origin.client());
        #[cfg(feature = "policy-serde")]
        println!("{}", serde_json::to_string(&origin)?);
    }

    println!("{peer} {chain}");
    Ok(())
}
