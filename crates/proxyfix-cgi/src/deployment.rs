//! [http]: self::http
//! [fastcgi]: self::fastcgi
//! [fastcgi-a-shared-host]: self::fastcgi#a-shared-host
//! [servers]: self::servers
//! [cgi]: self::cgi
//! [processes]: self::processes
//! [coming-from]: self::coming_from
//! [debugging]: self::debugging
//!
#![doc = include_str!("../docs/deployment.md")]

// The links of the guide are those of its files. Of two definitions of a link the first counts, so that here
// they lead to the modules.
macro_rules! page {
    ($(#[$about:meta])* $name:ident) => {
        #[doc = "[http]: crate::deployment::http"]
        #[doc = "[http-apache]: crate::deployment::http#apache"]
        #[doc = "[fastcgi]: crate::deployment::fastcgi"]
        #[doc = "[fastcgi-a-shared-host]: crate::deployment::fastcgi#a-shared-host"]
        #[doc = "[fastcgi-apache]: crate::deployment::fastcgi#apache"]
        #[doc = "[servers]: crate::deployment::servers"]
        #[doc = "[cgi]: crate::deployment::cgi"]
        #[doc = "[deployment]: crate::deployment#who-is-the-client"]
        #[doc = "[processes]: crate::deployment::processes"]
        #[doc = "[coming-from]: crate::deployment::coming_from"]
        #[doc = "[debugging]: crate::deployment::debugging"]
        #[doc = "[debugging-relative-paths]: crate::deployment::debugging#relative-paths"]
        #[doc = ""]
        $(#[$about])*
        pub mod $name {}
    };
}

page!(
    #[doc = include_str!("../docs/deployment/http.md")]
    http
);
page!(
    #[doc = include_str!("../docs/deployment/fastcgi.md")]
    fastcgi
);
page!(
    #[doc = include_str!("../docs/deployment/cgi.md")]
    cgi
);
page!(
    #[doc = include_str!("../docs/deployment/processes.md")]
    processes
);
page!(
    #[doc = include_str!("../docs/deployment/coming-from.md")]
    coming_from
);
page!(
    #[doc = include_str!("../docs/deployment/debugging.md")]
    debugging
);
page!(
    #[doc = include_str!("../docs/servers.md")]
    servers
);
page!(
    #[doc = include_str!("../docs/answers.md")]
    answers
);
