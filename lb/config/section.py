"""What every section of the configuration is."""

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """Frozen; a name that is not known is a problem."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)
