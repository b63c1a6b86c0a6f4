"""What can be trained; each turns parameters and rows into a fitted classifier."""

TRAINERS = {
    "cnn": "aimass.training.trainers.cnn:CnnTrainer",
    "gradient_boosting": "aimass.training.trainers.gradient_boosting:GradientBoostingTrainer",
    "logistic_regression": "aimass.training.trainers.logistic_regression:LogisticRegressionTrainer",
    "random_forest": "aimass.training.trainers.random_forest:RandomForestTrainer",
    "svm": "aimass.training.trainers.svm:SvmTrainer",
}
