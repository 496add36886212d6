// At every start: the superuser that zlotick's environment names exists and has that password.
// An unchanged password is left alone, so tokens issued before stay valid. A bad one ends the start with its reason.
onBootstrap((e) => {
  e.next();
  const email = $os.getenv("ZLOTICK_SUPERUSER_EMAIL");
  const password = $os.getenv("ZLOTICK_SUPERUSER_PASSWORD");
  let superuser;
  try {
    superuser = $app.findAuthRecordByEmail("_superusers", email);
  } catch (_notFound) {
    superuser = new Record($app.findCollectionByNameOrId("_superusers"));
    superuser.setEmail(email);
  }
  if (superuser.isNew() || !superuser.validatePassword(password)) {
    superuser.setPassword(password);
    $app.save(superuser);
  }
});
