"""scripts/chaos: a real cluster under load is killed, stopped, restarted, failed over and resharded, then judged."""
