"""The command `verify`: the model that was scored is the one that is merged, pushed and rebuilt."""
