"""Fitted feature steps; each is registered and served as a version of its own."""

TRANSFORMS = {
    "min_max_scale": "aimass.features.transforms.min_max_scale:MinMaxScaleTransform",
    "picture_features": "aimass.features.transforms.picture_features:PictureFeaturesTransform",
    "standard_scale": "aimass.features.transforms.standard_scale:StandardScaleTransform",
}
