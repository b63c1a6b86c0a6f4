"""How a shadow's answers are compared with the primary's. Pure: values in, values out."""
