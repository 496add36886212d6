/** Shows a new alert for a while; a screen reader announces it. */
import { useEffect } from "preact/hooks";
import { newestAlert } from "../store/index.ts";
import { sentence } from "./sentence.ts";
import { p } from "./strings.ts";
import "./panels.css";

const SHOWN_MS = 10_000;

export default function AlertNotice() {
  const alert = newestAlert.value;
  useEffect(() => {
    const timer = setTimeout(() => (newestAlert.value = null), SHOWN_MS);
    return () => clearTimeout(timer);
  }, [alert]);
  return (
    <p class="news" role="status">
      {alert && p("newAlert", { message: sentence(alert) })}
    </p>
  );
}
