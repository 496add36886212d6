// At every start: passwords of users cannot be guessed quickly. Limits that are already on are left as they are.
// A login of the superuser is bounded far above what zlotick and its commands need: its password is generated.
onBootstrap((e) => {
  e.next();
  const settings = $app.settings();
  if (settings.rateLimits.enabled) {
    return;
  }
  const rules = [
    { label: "_superusers:auth", maxRequests: 300, duration: 60 },
    { label: "*:auth", maxRequests: 30, duration: 60 },
    { label: "*:requestOTP", maxRequests: 10, duration: 60 },
    { label: "*:requestPasswordReset", maxRequests: 10, duration: 60 },
  ];
  unmarshal({ rateLimits: { enabled: true, rules: rules } }, settings);
  $app.save(settings);
});
