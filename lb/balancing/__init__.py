"""WHERE may this request go? Pure: values in, decisions out, `now` is always a parameter."""
