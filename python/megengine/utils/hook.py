"""Handles of registered hooks."""

import itertools
import weakref

_ids = itertools.count()


class HookHandler:
    """Keeps a hook in ``source_dict`` until :meth:`remove` is called.

    Args:
        source_dict: an ordered dict from ids to hooks; only a weak reference to it is kept.
        hook: the callable to register.
    """

    def __init__(self, source_dict, hook):
        self.id = next(_ids)
        # A loaded or copied module brings hooks whose ids another process may have given out.
        while self.id in source_dict:
            self.id = next(_ids)
        source_dict[self.id] = hook
        self.source_ref = weakref.ref(source_dict)

    def remove(self):
        """Unregisters the hook; does nothing when it is already gone."""
        source, self.source_ref = self.source_ref(), lambda: None
        if source is not None:
            source.pop(self.id, None)
